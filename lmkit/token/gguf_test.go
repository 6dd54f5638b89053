package token

import (
	"slices"
	"strings"
	"testing"
)

func smallGGUF() GGUF {
	return GGUF{
		Model: "gpt2", Pre: "llama-bpe", BOS: new(ID(4)), EOS: new(ID(4)),
		Tokens: []string{"a", "b", "Ġ", "ab", "<s>", "Ġab", "\n\n"}, Types: []int32{1, 1, 1, 1, 3, 1, 4},
		Merges: []string{"a b"},
	}
}

func TestGGUFWithMerges(t *testing.T) {
	for _, test := range []struct {
		what string
		edit func(*GGUF)
		text string
		want []ID
	}{
		{"Llama 3 begins a text, and takes whole pieces", func(*GGUF) {}, "ab ab", []ID{4, 3, 5}},
		{"a file may say otherwise", func(g *GGUF) { g.AddBOS = new(false) }, "ab ab", []ID{3, 5}},
		{"an end token", func(g *GGUF) { g.AddEOS = new(true) }, "ab", []ID{4, 3, 4}},
		{"GPT-2 merges what its pattern finds", func(g *GGUF) { g.Pre = "gpt-2" }, "ab ab", []ID{3, 2, 3}},
		{"a special token's text is text", func(g *GGUF) { g.Tokens[4] = "aab" }, "aab", []ID{4, 0, 3}},
		{"a user-defined token is not special", func(g *GGUF) { g.AddBOS = new(false) }, "a\n\nb", []ID{0, 6, 1}},
	} {
		g := smallGGUF()
		test.edit(&g)
		tok := must(FromGGUF(g))
		for _, tok := range []Tokenizer{tok, must(Unmarshal(must(Marshal(tok))))} {
			if e := must(tok.Encode(test.text)); !slices.Equal(e.IDs, test.want) {
				t.Errorf("%s: %v, want %v", test.what, e.IDs, test.want)
			}
		}
	}
}

// Every way to cut that a GGUF file can name cuts as the tokenizer.json of the family does.
func TestGGUFCutsAsTheFamilies(t *testing.T) {
	f := readFamilies(t)
	texts := f.make()
	for family, pres := range map[string][]string{
		"gpt2": {"gpt-2", "phi-2", "mpt"}, "smollm2": {"smollm", "starcoder", "refact", "command-r", "codeshell"},
		"llama3": {"llama3", "llama-v3", "llama-bpe"}, "olmo2": {"dbrx", "smaug-bpe"}, "qwen2": {"qwen2", "deepseek-r1-qwen"},
		"tekken": {"tekken"}, "gpt4o": {"gpt-4o"},
	} {
		want := must(Unmarshal(f.Families[family].Tokenizer)).(*BPE)
		g := GGUF{Model: "gpt2"}
		added := map[ID]bool{}
		for _, a := range want.added.tokens {
			added[a.id] = true
		}
		for id := range ID(want.Size()) {
			g.Tokens = append(g.Tokens, want.fileText(id))
			kind := int32(1)
			if added[id] {
				kind = ggufControl
			}
			g.Types = append(g.Types, kind)
		}
		for _, m := range want.merges {
			g.Merges = append(g.Merges, want.fileText(m.left)+" "+want.fileText(m.right))
		}
		if len(want.before) > 0 {
			g.BOS = &want.before[0]
		}
		for _, pre := range pres {
			g.Pre = pre
			tok := must(FromGGUF(g))
			for _, text := range texts[:1000] {
				if a, b := must(tok.Encode(text)), must(want.Encode(text)); !slices.Equal(a.IDs, b.IDs) {
					t.Errorf("%s: %q: %v, want %v", pre, text, a.IDs, b.IDs)
				}
			}
		}
	}
}

func TestGGUFRefuses(t *testing.T) {
	for _, test := range []struct {
		edit func(*GGUF)
		want string
	}{
		{func(g *GGUF) { g.Model = "t5" }, `tokenizer.ggml.model "t5"`},
		{func(g *GGUF) { g.Model = "" }, `tokenizer.ggml.model ""`},
		{func(g *GGUF) { g.Model = "llama" }, "tokenizer.ggml.scores has 0 entries for 7 tokens"},
		{func(g *GGUF) { g.Pre = "" }, `tokenizer.ggml.pre "" is not supported`},
		{func(g *GGUF) { g.Tokens = nil }, "tokenizer.ggml.tokens is empty"},
		{func(g *GGUF) { g.Tokens[0] = "b" }, `token "b" has two IDs`},
		{func(g *GGUF) { g.Tokens[0] = "\xff" }, "token 0"},
		{func(g *GGUF) { g.Tokens[0] = "" }, "token 0"},
		{func(g *GGUF) { g.Tokens[0] = "灯" }, "byte-level alphabet"},
		{func(g *GGUF) { g.Types = g.Types[1:] }, "token_type has 6 entries for 7 tokens"},
		{func(g *GGUF) { g.Merges = []string{"ab"} }, "tokenizer.ggml.merges"},
		{func(g *GGUF) { g.Merges = []string{"b a"} }, "the vocabulary lacks"},
		{func(g *GGUF) { g.BOS = nil }, "no bos_token_id"},
		{func(g *GGUF) { g.BOS = new(ID(7)) }, "token 7, which the metadata name, is outside"},
		{func(g *GGUF) { g.AddEOS, g.EOS = new(true), nil }, "no eos_token_id"},
		{func(g *GGUF) { g.Pre = strings.Repeat("é", 1000) }, "é … é"},
	} {
		g := smallGGUF()
		test.edit(&g)
		b, err := FromGGUF(g)
		if err == nil || b != nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 400 {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

func FuzzFromGGUF(f *testing.F) {
	f.Add("llama", "default", "a\xffb\xffab\xff▁", "\x01\x01\x01\x01", "\x03\x02\x05\x01", "a b", int32(0), true)
	f.Add("gpt2", "llama-bpe", "a\xffb\xffab\xff<s>", "\x01\x01\x01\x03", "", "a b", int32(3), true)
	f.Fuzz(func(t *testing.T, model, pre, tokens, types, scores, merges string, bos int32, prefix bool) {
		g := GGUF{Model: model, Pre: pre, Tokens: strings.Split(tokens, "\xff"), BOS: new(ID(bos)), AddSpacePrefix: &prefix}
		for _, c := range []byte(types) {
			g.Types = append(g.Types, int32(c))
		}
		for _, c := range []byte(scores) {
			g.Scores = append(g.Scores, float32(c))
		}
		if merges != "" {
			g.Merges = strings.Split(merges, "\xff")
		}
		tok, err := FromGGUF(g)
		if err != nil {
			return
		}
		if e, err := tok.EncodeWith("ab <s> b é", Options{Special: true}); err == nil {
			checkTiling(t, e)
			if _, err := tok.Decode(e.IDs); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Unmarshal(must(Marshal(tok))); err != nil {
			t.Fatalf("a vocabulary that was read and written is refused: %v", err)
		}
	})
}
