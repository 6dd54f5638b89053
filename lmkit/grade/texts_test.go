package grade

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// BLEU and chrF are those of sacreBLEU (bench/grade_reference.py).
func TestSacreBLEU(t *testing.T) {
	data, err := os.ReadFile("testdata/sacrebleu.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Said, Right []string
		BLEU, ChrF  float64
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 50 {
		t.Fatal(len(cases), err)
	}
	for i, c := range cases {
		if got := BLEU(c.Said, c.Right); math.Abs(got-c.BLEU) > 1e-9 {
			t.Errorf("case %d: BLEU %v, want %v: %q for %q", i, got, c.BLEU, c.Said, c.Right)
		}
		if got := ChrF(c.Said, c.Right); math.Abs(got-c.ChrF) > 1e-9 {
			t.Errorf("case %d: chrF %v, want %v: %q for %q", i, got, c.ChrF, c.Said, c.Right)
		}
	}
}
