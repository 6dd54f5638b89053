package batch

import (
	"path/filepath"
	"testing"
)

// How wrong a model was is read from what classify wrote, from any table of losses, and from a folder of results.
func TestExamples(t *testing.T) {
	for name, tt := range map[string]struct {
		lines  []string
		column string
		losses []float64
		texts  string // of the first
	}{
		"said.jsonl": {[]string{
			`{"line":7,"prompt":"Review: fine","label":"good","meta":{"text":"fine","year":1999},` +
				`"said":"bad","p":0.9,"loss":2.3}`,
			`{"line":8,"prompt":"Review: dull","label":"bad","meta":{"text":"dull"},"said":"bad","p":0.9,"loss":0.1}`,
			`{"line":9,"prompt":"Review: so","said":"bad"}`}, "", []float64{1, 0}, "fine"},
		"loss.jsonl": {[]string{`{"line":7,"prompt":"fine","label":"good","said":"bad","loss":2.5}`}, "loss", []float64{2.5},
			"fine"},
		"table.csv": {[]string{"text,wrong,place", "fine,1,north", "dull,0.5,south", "x,much,south", "y,-1,south"}, "wrong",
			[]float64{1, 0.5}, "fine"},
	} {
		all, without, err := Examples(write(t, name, tt.lines...), tt.column)
		if err != nil || len(all) != len(tt.losses) || all[0].Text != tt.texts {
			t.Errorf("%s: %+v, %d without, %v", name, all, without, err)
			continue
		}
		for i, e := range all {
			if e.Loss != tt.losses[i] {
				t.Errorf("%s: row %d has the loss %v, want %v", name, i, e.Loss, tt.losses[i])
			}
		}
	}
	all, without, _ := Examples(write(t, "x.jsonl", `{"line":7,"said":"a","label":"b","meta":{"text":"t","year":1999}}`,
		`{"said":"a"}`), "")
	if e := all[0]; e.Line != 7 || e.Columns["year"] != "1999" || e.Columns["label"] != "b" || len(e.Columns) != 2 ||
		without != 1 {
		t.Errorf("%+v, %d", e, without)
	}
	m, out := words(t), filepath.Join(t.TempDir(), "out")
	if _, err := runOf(t, t.Context(), m, write(t, "items.jsonl", mixed...), out, common); err != nil {
		t.Fatal(err)
	}
	all, without, err := Examples(out, "")
	if err != nil || len(all) != 1 || without != 3 || all[0].Text != "the cat sat" || all[0].Columns["source"] != "x" {
		t.Errorf("%+v, %d, %v", all, without, err)
	}
	for r, err := range Results(out) {
		if right, known := r.Right(); err != nil || known != (r.ID == "a") || right != (all[0].Loss == 0) && known {
			t.Errorf("%s: %v, %v, %v", r.ID, right, known, err)
		}
	}
}
