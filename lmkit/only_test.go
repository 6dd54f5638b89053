package lmkit_test

import (
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token/chat"
)

// passage is a conversation whose first message holds what is asked about, and the question.
var passage = []chat.Message{{Role: chat.System, Content: "be brief"},
	{Role: chat.User, Content: "it is Paris. it is the capital. what is it?"}}

// Where a part of a text is explained, its features are those that lie there, and all else is held: the value is that
// of the whole, and the base is that of the text with the part alone replaced.
func TestOnly(t *testing.T) {
	for arch, m := range chatModels(t) {
		r := lmkit.Request{Messages: passage, By: explain.BySentence, Methods: []string{"shapley-exact"}}
		whole := answer(t, m, r)[0]
		r.Only = []string{"it is Paris. ... the capital."}
		a := answer(t, m, r)[0]
		explaintest.Check(t, a)
		var texts []string
		for _, f := range a.Features {
			texts = append(texts, f.Text)
		}
		if want := []string{"it is Paris.", "it is the capital."}; !slices.Equal(texts, want) {
			t.Errorf("%s: features %q, want %q", arch, texts, want)
		}
		if a.Value != whole.Value || a.Evidence.Held == nil || a.Evidence.Held.Why != explain.HeldOutside {
			t.Errorf("%s: %v of %v, held %+v", arch, a.Value, whole.Value, a.Evidence.Held)
		}
		var groups [][]int
		for _, f := range a.Features {
			groups = append(groups, f.Tokens)
			for _, at := range f.Tokens {
				if a.Tokens[at].Held {
					t.Errorf("%s: token %d is scored and held", arch, at)
				}
			}
		}
		b := answer(t, m, lmkit.Request{Messages: passage, Groups: groups, Methods: r.Methods})[0]
		if a.Base != b.Base || !slices.Equal(a.Scores, b.Scores) {
			t.Errorf("%s: %v from %v, and as groups %v from %v", arch, a.Scores, a.Base, b.Scores, b.Base)
		}
		// A token that lies in the part is a feature by token, and a part of a word is a part.
		r.By, r.Only = explain.ByWord, []string{"Paris.", "capital"}
		for _, f := range answer(t, m, r)[0].Features {
			if !strings.Contains("Paris. capital", f.Text) {
				t.Errorf("%s: the feature %q lies outside", arch, f.Text)
			}
		}
	}
}

// The features of a conversation by message are its messages.
func TestByMessage(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	a := answer(t, m, lmkit.Request{Messages: passage, By: explain.ByMessage, Methods: []string{"occlusion"}})[0]
	explaintest.Check(t, a)
	if len(a.Features) != 2 || a.Features[0].Text != passage[0].Content || a.Features[1].Text != passage[1].Content {
		t.Errorf("features %+v", a.Features)
	}
}

func TestOnlyMistakes(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	for _, test := range []struct {
		r    lmkit.Request
		want string
	}{
		{lmkit.Request{Prompt: "it is", By: explain.ByMessage}, "messages are the parts of a conversation"},
		{lmkit.Request{Prompt: "it is", Only: []string{"Rome"}}, `the text has no part "Rome"`},
		{lmkit.Request{Prompt: "it is it", Only: []string{"it"}}, `has the part "it" 2 times`},
		{lmkit.Request{Prompt: "it is", Only: []string{" "}}, "is empty"},
		{lmkit.Request{Messages: passage, Only: []string{"im_start"}}, "the text has no part"},
		{lmkit.Request{Prompt: "it is", Only: []string{"it"}, Groups: [][]int{{0}}}, "only and groups were given"},
	} {
		_, err := test.r.Answer(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, should say %s", test.r, err, test.want)
		}
	}
}

// Before a method runs, it is told how many rows it takes, and about how long.
func TestAhead(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	var ahead []progress.Event
	ctx := progress.With(t.Context(), func(e progress.Event) {
		if e.Ahead > 0 {
			ahead = append(ahead, e)
		}
	})
	r := lmkit.Request{Messages: passage, By: explain.ByWord, Methods: []string{"occlusion"}}
	a, err := r.Answer(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if len(ahead) == 0 || ahead[0].What != "occlusion" || ahead[0].Done != 0 ||
		ahead[0].Total != int64(len(a.Attributions[0].Features)) {
		t.Errorf("of %d features: %+v", len(a.Attributions[0].Features), ahead)
	}
}
