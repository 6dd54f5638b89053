package explain_test

import (
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Where only a dictionary tells words or sentences apart, a result by words or sentences says so; others do not.
func TestUndividedScriptsAreSaid(t *testing.T) {
	for text, script := range map[string]string{
		"ฉันชอบแมว": "Thai", "ພາສາລາວ": "Lao", "ភាសាខ្មែរ": "Khmer", "မြန်မာစာ": "Burmese", "我喜欢猫": "", "the keys": "",
	} {
		tok, err := token.NewChar(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 4, Hidden: 4, Layers: 1},
			tok, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for by, says := range map[string]string{
			explain.ByToken: "", explain.ByWord: script, explain.BySentence: script,
		} {
			as, err := explain.Explain(t.Context(), m, explain.Question{Prompt: text, By: by}, perturb.Occlusion{})
			if err != nil {
				t.Fatal(err)
			}
			said := slices.ContainsFunc(as[0].Warnings, func(w string) bool {
				return says != "" && strings.Contains(w, says) || strings.Contains(w, "dictionary")
			})
			if said != (says != "") {
				t.Errorf("%q by %s: warnings %q", text, by, as[0].Warnings)
			}
			if n := len(as[0].Features); by == explain.ByWord && script != "" && n < 3 {
				t.Errorf("%q is only %d words", text, n)
			}
		}
	}
}
