package explain_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// models returns small models with nothing learned, one for each kind of tokenizer.
func models(t *testing.T) map[string]*lm.Model {
	t.Helper()
	texts := slices.Values([]string{"we are here , we are here , are is is we are #1 is we is here areis x are y",
		"is are is are here here"})
	word, err := token.NewWord(texts, token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	char, err := token.NewChar("we are here, is #1")
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := token.TrainBPE(t.Context(), texts, 290, "<|end|>")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*lm.Model{}
	for name, tok := range map[string]token.Tokenizer{"word": word, "char": char, "bytes": bytes} {
		m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Layers: 1, Width: 4, Hidden: 4},
			tok, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		out[name] = m
	}
	return out
}

func TestFindToken(t *testing.T) {
	ms := models(t)
	for _, test := range []struct{ model, prompt, text, want string }{
		{"bytes", "we", "are", " are"},
		{"bytes", "we ", "are", "are"},
		{"bytes", "we\n", "are", "are"},
		{"bytes", "we", " are", " are"},
		{"bytes", "", "are", "are"},
		{"bytes", "we", "<|end|>", "<|end|>"},
		{"bytes", "we", "q", "q"},
		{"word", "We Are", "Here", "here"},
		{"word", "we are", ",", ","},
		{"word", "we are", "#1", "#1"},
		{"word", "", "#1", "#1"},
		{"char", "we ", "a", "a"},
		{"char", "we", "a", "a"},
		{"char", "we", " ", " "},
	} {
		m := ms[test.model]
		id, err := explain.FindToken(m, test.prompt, test.text)
		if err != nil || m.TokenText(id) != test.want {
			t.Errorf("%s: after %q, %q is %q, %v; want %q", test.model, test.prompt, test.text, m.TokenText(id), err, test.want)
		}
	}
	if id, err := explain.FindToken(ms["bytes"], "we", "#3"); err != nil || id != 3 {
		t.Errorf("#3 is %d, %v", id, err)
	}
	for _, test := range []struct{ model, prompt, text, want string }{
		{"word", "we are", "zebra", `"zebra" is not in the model's vocabulary`},
		{"word", "we are", "#1000", "token #1000 is outside the vocabulary"},
		{"bytes", "we", "zebra", `"zebra" is 6 tokens after this prompt, and a target is one: " " #`},
		{"bytes", "we", "", "not in the model's vocabulary"},
		{"char", "we", "é", "not in the model's vocabulary"},
	} {
		if _, err := explain.FindToken(ms[test.model], test.prompt, test.text); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q: error %v, want %q", test.model, test.text, err, test.want)
		}
	}
}

// Every token can be named by the text that a result shows it by, with one exception: where the same text can be read.
func TestFindTokenTakesWhatResultsShow(t *testing.T) {
	for name, m := range models(t) {
		for id := range token.ID(m.Tokenizer().Size()) {
			text := m.TokenText(id)
			found, err := explain.FindToken(m, "", text)
			if err != nil || found != id {
				t.Errorf("%s: token %d shows as %q, which is token %d, %v", name, id, text, found, err)
			}
		}
	}
}

// Pieces of a character are of one feature, and a feature is called by what its tokens cover.
func TestFeaturesOfWords(t *testing.T) {
	m := models(t)["bytes"]
	for _, test := range []struct {
		text, by string
		want     []string
	}{
		{"café noir", explain.ByWord, []string{"café", "noir"}},
		{"I like 😀 very", explain.ByWord, []string{"I", "like", "😀", "very"}},
		{"東京 は", explain.ByWord, []string{"東", "京", "は"}},
		{"Dit «oui.» Non.", explain.BySentence, []string{"Dit «oui.»", "Non."}},
		{"我喜欢猫。你喜欢狗。", explain.BySentence, []string{"我喜欢猫。", "你喜欢狗。"}},
		{" \n", explain.ByWord, []string{" \n"}},
	} {
		tokens, features, err := explain.Encode(m, explain.Question{Prompt: test.text, By: test.by})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		n := 0
		for _, f := range features {
			got = append(got, f.Text)
			n += len(f.Tokens)
		}
		if !slices.Equal(got, test.want) || n != len(tokens) {
			t.Errorf("%q: features %q of %d of %d tokens, want %q", test.text, got, n, len(tokens), test.want)
		}
	}
}

// What the vocabulary's file puts before a text is in no feature.
func TestHeldTokensAreNoFeatures(t *testing.T) {
	begin, yes := token.ID(4), true
	tok, err := token.FromGGUF(token.GGUF{Model: "gpt2", Pre: "gpt-2", Tokens: []string{"a", "b", "Ġ", "Ġb", "<s>"},
		Types: []int32{1, 1, 1, 1, 3}, Merges: []string{"Ġ b"}, BOS: &begin, AddBOS: &yes})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: 5, Layers: 1, Width: 4, Hidden: 4}, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, by := range []string{explain.ByToken, explain.ByWord, explain.BySentence} {
		p, err := explain.Prepare(context.Background(), m, explain.Question{Prompt: "a b", By: by})
		if err != nil {
			t.Fatal(err)
		}
		if at := p.Positions(p.AllFeatures()); !slices.Equal(at, []int{1, 2}) || len(p.IDs) != 3 {
			t.Errorf("by %s: features hold the tokens %v of %v", by, at, p.IDs)
		}
	}
}
