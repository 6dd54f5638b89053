package lmkit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// chatTemplate is one of the usual form.
const chatTemplate = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}" +
	"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

// chatModels are a Transformer and an LSTM with random weights, opened from folders with a chat template.
func chatModels(t *testing.T) map[string]*lm.Model {
	t.Helper()
	text := slices.Values([]string{"what is the capital of France? it is Paris. system user assistant be brief"})
	tok, err := token.TrainBPE(t.Context(), text, 300, "<|im_start|>", "<|im_end|>")
	if err != nil {
		t.Fatal(err)
	}
	ms := map[string]*lm.Model{}
	for _, c := range []lm.Config{{Arch: lm.Transformer, Layers: 2, Width: 16, Heads: 2, Context: 400},
		{Arch: lm.LSTM, Layers: 1, Width: 8, Hidden: 12}} {
		c.Vocab = tok.Size()
		fresh, err := lm.New(backendtest.PureGo(t), c, tok, 3)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := fresh.Save(dir); err != nil {
			t.Fatal(err)
		}
		fresh.Close()
		if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(chatTemplate), 0o644); err != nil {
			t.Fatal(err)
		}
		if ms[c.Arch], err = lm.Open(backendtest.PureGo(t), dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ms[c.Arch].Close)
	}
	return ms
}

// talk is a conversation whose answer has begun.
var talk = []chat.Message{{Role: chat.System, Content: "be brief"}, {Role: chat.User, Content: "what is it?"},
	{Role: chat.Assistant, Content: "it is"}}

// An explanation of a conversation is that of its tokens, where those of the messages are the features: by every
// method, the same scores, the same evidence, and the relevance and the effect of all that the template wrote as one
// number.
func TestChatIsItsTokens(t *testing.T) {
	for arch, m := range chatModels(t) {
		template, err := m.Chat()
		if err != nil {
			t.Fatal(err)
		}
		c, err := template.Encode(m.Tokenizer(), talk, true)
		if err != nil {
			t.Fatal(err)
		}
		var groups [][]int
		var held []int
		for i := range c.IDs {
			if c.Held[i] {
				held = append(held, i)
			} else {
				groups = append(groups, []int{i})
			}
		}
		got := answer(t, m, lmkit.Request{Messages: talk, Methods: []string{lmkit.All}, Settings: quick,
			Baseline: "mean,zero"})
		effect := answer(t, m, lmkit.Request{IDs: c.IDs, Groups: [][]int{held}, Baseline: "mean,zero"})[0]
		if len(got) < 15 {
			t.Fatalf("%s: %d explanations", arch, len(got))
		}
		plain := token.Encoding{Text: c.Text, IDs: c.IDs, Spans: c.Spans}
		q := explain.Question{Chat: &chat.Conversation{Encoding: plain}, Groups: groups, Baseline: "mean,zero"}
		for _, a := range got {
			explaintest.Check(t, a)
			name, b := arch+": "+a.Method.Name, ask(t, m, must(lmkit.Method(a.Method.Name, quick)), q)
			if a.InputHash != b.InputHash || a.Value != b.Value || a.Base != b.Base {
				t.Errorf("%s: %v from %v, should be %v from %v", name, a.Value, a.Base, b.Value, b.Base)
			}
			if !slices.Equal(a.Scores, b.Scores) {
				t.Errorf("%s: %v, should be %v", name, a.Scores, b.Scores)
			}
			n, w := a.Evidence.Necessity, b.Evidence.Necessity
			if (n == nil) != (w == nil) || n != nil && (n.Value != w.Value || n.Decision != w.Decision) {
				t.Errorf("%s: without the top features %+v, should be %+v", name, n, w)
			}
			h := a.Evidence.Held
			if h == nil || h.Why != explain.HeldTemplate || math.Abs(h.Effect-(effect.Value-effect.Base)) > 1e-5 {
				t.Errorf("%s: held %+v, should have the effect %v", name, h, effect.Value-effect.Base)
			}
			checkRoles(t, a, c)
		}
	}
}

func answer(t *testing.T, m *lm.Model, r lmkit.Request) []*explain.Attribution {
	t.Helper()
	a, err := r.Answer(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return a.Attributions
}

// checkRoles fails unless what the template wrote, and it alone, is held, has no role and is in no feature.
func checkRoles(t interface{ Errorf(string, ...any) }, a *explain.Attribution, c chat.Conversation) {
	scored := map[int]bool{}
	for _, f := range a.Features {
		for _, at := range f.Tokens {
			scored[at] = true
		}
	}
	for i, tok := range a.Tokens {
		if tok.Held != c.Held[i] || tok.Held == scored[i] || tok.Role != c.Role(i) || (tok.Role == "") != tok.Held {
			t.Errorf("%s: token %d of %q: %+v, in a feature: %v", a.Method.Name, i, c.Text, tok, scored[i])
		}
	}
}

// The relevance of what the template wrote is, with the scores and the constants, all that the methods that share out
// a logit have: it is what its tokens would get as a feature.
func TestHeldRelevance(t *testing.T) {
	ms := chatModels(t)
	for arch, method := range map[string]string{lm.Transformer: "attn-lrp", lm.LSTM: "lrp"} {
		m := ms[arch]
		r := lmkit.Request{Messages: talk, Methods: []string{method}}
		a := answer(t, m, r)[0]
		var held []int
		for i, tok := range a.Tokens {
			if tok.Held {
				held = append(held, i)
			}
			r.IDs = append(r.IDs, token.ID(tok.ID))
		}
		r.Messages, r.Groups = nil, [][]int{held}
		want := answer(t, m, r)[0].Scores[0]
		if share := a.Evidence.Held.Share; share == nil || math.Abs(*share-want) > 1e-6 {
			t.Errorf("%s: %v, should be %v", method, share, want)
		}
	}
}

// fragments are what hostile and careless people write: marks of templates, white space, other scripts.
var fragments = []string{"<|im_start|>", "<|im_end|>", "<|im_start|>system\n", "\n", " ", "\t", "", "France?", "it is",
	"{{ m }}",
	"{% raw %}", "日本語。", "é",
	"🇨🇭👩‍👩‍👧", "<b>&\"'", "\x1b[31m", "\u202e", "\x00", "</s>", "a. b! c? d"}

// Whatever people write, their text never becomes a special token, all of it has its role, features keep to one
// message, and every picture can be drawn and names the roles.
func TestHostileConversations(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	template, err := m.Chat()
	if err != nil {
		t.Fatal(err)
	}
	special := map[int]bool{}
	for _, text := range []string{"<|im_start|>", "<|im_end|>"} {
		id, ok := m.Tokenizer().Lookup(text)
		if !ok {
			t.Fatalf("there is no token %q", text)
		}
		special[int(id)] = true
	}
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 1, 6).Draw(t, "fragments"), "")
	})
	rapid.Check(t, func(t *rapid.T) {
		var messages []chat.Message
		said := ""
		for i := range rapid.IntRange(1, 4).Draw(t, "messages") {
			role := []string{chat.User, chat.Assistant}[i%2]
			if i == 0 && rapid.Bool().Draw(t, "a system message") {
				role = chat.System
			}
			content := text.Draw(t, "content")
			messages = append(messages, chat.Message{Role: role, Content: content})
			said += strings.TrimSpace(content)
		}
		by := rapid.SampledFrom([]string{explain.ByToken, explain.ByWord, explain.BySentence}).Draw(t, "by")
		r := lmkit.Request{Messages: messages, By: by, Methods: []string{"input-x-gradient"}}
		answered, err := r.Answer(context.Background(), m)
		if err != nil {
			if said != "" && !(len(messages) == 1 && messages[0].Role == chat.Assistant) {
				t.Fatalf("%q: %v", messages, err)
			}
			return
		}
		a := answered.Attributions[0]
		c, err := template.Encode(m.Tokenizer(), messages, true)
		if err != nil {
			t.Fatal(err)
		}
		checkRoles(t, a, c)
		read := ""
		for i, tok := range a.Tokens {
			if tok.Role != "" {
				read += c.Piece(i)
				if special[tok.ID] {
					t.Errorf("%q: token %d is special: %+v", messages, i, tok)
				}
			}
		}
		if blank := strings.NewReplacer(" ", "", "\n", "", "\t", ""); blank.Replace(read) != blank.Replace(said) {
			t.Errorf("%q: what has a role says %q", messages, read)
		}
		for _, f := range a.Features {
			for _, at := range f.Tokens {
				if a.Tokens[at].Role != a.Tokens[f.Tokens[0]].Role || at > f.Tokens[0] && a.Tokens[at-1].Held {
					t.Errorf("%q: the feature %q goes over the end of a message: %v", messages, f.Text, f.Tokens)
				}
			}
		}
		checkPictures(t, a)
	})
}

// checkPictures fails unless an explanation of a conversation can be drawn in every form, with the roles of its words.
func checkPictures(t *rapid.T, a *explain.Attribution) {
	var plain, page, picture bytes.Buffer
	compared, err := render.Compare(a)
	if err == nil {
		err = errors.Join(render.Text(&plain, a, plot.Options{Width: 80}), render.HTML(&page, a), render.SVG(&picture, a),
			compared.Text(io.Discard, plot.Options{Width: 80}), compared.SVG(io.Discard))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range a.Tokens {
		role := tok.Role
		if role == "" {
			role = "template"
		}
		if !strings.Contains(plain.String(), "\n  "+role) || !strings.Contains(page.String(), "<b>"+role+" </b>") ||
			!strings.Contains(picture.String(), ">"+role+"</text>") {
			t.Fatalf("the role %s is missing in:\n%s", role, plain.String())
		}
	}
}

// A matrix and a comparison of a conversation say what is held, too.
func TestHeldIsSaid(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	a, err := lmkit.Request{Messages: talk, By: explain.ByWord, Matrix: "interactions"}.Answer(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	explaintest.CheckMatrix(t, a.Matrix)
	several := lmkit.Request{Messages: talk, Methods: []string{"saliency", "occlusion"}}
	compared, err := render.Compare(answer(t, m, several)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, figure := range []plot.Figure{render.Matrix{Matrix: a.Matrix}, compared} {
		var text bytes.Buffer
		if err := figure.Text(&text, plot.Options{Width: 100}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), "\nheld ") {
			t.Errorf("what is held is not said:\n%s", text.String())
		}
	}
}

// Every matrix can be asked of a conversation, and says whose words its tokens are.
func TestChatMatrices(t *testing.T) {
	for arch, m := range chatModels(t) {
		for _, info := range lmkit.Matrices() {
			if info.Arch != "" && info.Arch != arch {
				continue
			}
			r := lmkit.Request{Messages: talk, Matrix: info.Name}
			switch {
			case info.Name == "answer":
				r.Methods, r.Generate = []string{"occlusion"}, 3
			case slices.Contains(info.Settings, "method"):
				r.Methods = []string{"saliency", "occlusion"}
			case slices.Contains(info.Settings, "cut"):
				r.Settings.Cut = 20
			case slices.Contains(info.Settings, "tap") && arch == lm.Transformer:
				r.Settings.Tap = "block.1.attn.z"
			case slices.Contains(info.Settings, "tap"):
				r.Settings.Tap = "lstm.0.hidden"
			}
			a, err := r.Answer(t.Context(), m)
			if err != nil {
				t.Errorf("%s, %s: %v", arch, info.Name, err)
				continue
			}
			explaintest.CheckMatrix(t, a.Matrix)
			roles := map[string]bool{}
			for _, tok := range a.Matrix.Tokens {
				roles[tok.Role] = true
			}
			if len(roles) != 4 || a.Matrix.Evidence.Held == nil {
				t.Errorf("%s, %s: roles %v, held %+v", arch, info.Name, roles, a.Matrix.Evidence.Held)
			}
		}
	}
}

// What cannot be a conversation is one clear line; a target is found as what the answer goes on with; the first token
// is a feature where that is asked, and so is what is grouped, whoever wrote it.
func TestChatRequests(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	for _, test := range []struct {
		r    lmkit.Request
		want string
	}{
		{lmkit.Request{Messages: talk, Prompt: "x"}, "messages were given, and a prompt or token IDs too; give one"},
		{lmkit.Request{Messages: []chat.Message{}}, "there is no prompt"},
		{lmkit.Request{Messages: []chat.Message{{Content: "x"}}}, "messages have no role at number 1; it is system, user or"},
		{lmkit.Request{Messages: []chat.Message{{Role: "user", Content: " \n"}}}, "its messages are empty"},
		{lmkit.Request{Messages: talk[2:]}, "nothing but the model's answer"},
		{lmkit.Request{Messages: talk, TargetAny: []string{"<|gone|>"}}, `"<|gone|>"`},
	} {
		_, err := test.r.Answer(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, should say %s", test.r, err, test.want)
		}
	}
	bare, err := lm.FromWeights(m.Engine(), m.Config(), m.Tokenizer(), must(m.Weights()))
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if _, err := (lmkit.Request{Messages: talk}).Answer(t.Context(), bare); !errors.Is(err, chat.ErrNone) {
		t.Errorf("a model without a template: %v", err)
	}
	r := lmkit.Request{Messages: talk, Target: "is", Methods: []string{"saliency"}, FirstToken: explain.ScoreFirst}
	a := answer(t, m, r)[0]
	if a.Target.Text != " is" { // a word of an answer that has begun
		t.Errorf("the target is %q", a.Target.Text)
	}
	if b := answer(t, m, lmkit.Request{Messages: talk[:2], Target: "is"})[0]; b.Target.Text != "is" { // the first word
		t.Errorf("the target is %q", b.Target.Text)
	}
	if a.Features[0].Tokens[0] != 0 || a.Tokens[0].Held {
		t.Errorf("the first token is no feature: %+v", a.Features[0])
	}
	r.FirstToken, r.Groups = "", [][]int{{0, 1}, {4}}
	if a = answer(t, m, r)[0]; a.Tokens[0].Held || a.Tokens[1].Held || len(a.Features) != 2 {
		t.Errorf("what is grouped is held: %+v", a.Tokens[:2])
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
