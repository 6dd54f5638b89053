package board

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

// On a task that a model learns in seconds, the ways that look at the model find the parts that matter sooner than
// chance does, and without their first parts less is left.
func TestRunInside(t *testing.T) {
	r, err := RunInside(context.Background(), backendtest.Engine(t), InsideConfig{Tasks: []string{"agreement"}, Items: 6},
		nil)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := r.JSON(&data); err != nil || !json.Valid(data.Bytes()) {
		t.Errorf("the JSON is not valid: %v", err)
	}
	m := r.Models[0]
	if len(m.Parts) != 10 || len(m.Truth) != 10 || len(m.Ways) != 11 || m.Items < 4 {
		t.Fatalf("%d parts, %d ways, %d texts", len(m.Parts), len(m.Ways), m.Items)
	}
	of := map[string]Way{}
	for _, w := range m.Ways {
		of[w.Name] = w
		if math.Abs(w.Left[0]-1) > 1e-6 || len(w.Left) != len(m.Out) {
			t.Errorf("%s: the curve is %v", w.Name, w.Left)
		}
	}
	for _, name := range []string{"noising", "AtP", "EAP-IG"} {
		if w, chance := of[name], of[byChance]; w.Found.Mean < chance.Found.Mean || w.Area.Mean > chance.Area.Mean {
			t.Errorf("%s: found %.2f, left %.2f; by chance %.2f and %.2f", name, w.Found.Mean, w.Area.Mean,
				chance.Found.Mean, chance.Area.Mean)
		}
	}
	var text, page bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"agreement", "EAP-IG", "induction", "previous", "random", "10 parts"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("no %q in the table or the page:\n%s", want, text.String())
		}
	}
	t.Log("\n" + text.String())
}

// The two versions of a planted text differ at one place, and what follows the clean one stands there.
func TestContrasts(t *testing.T) {
	for _, task := range insideTasks {
		all, err := task.draw(rand.New(rand.NewPCG(1, 2)), 12)
		if err != nil || len(all) < 8 {
			t.Fatalf("%s: %d texts, %v", task.name, len(all), err)
		}
		for _, x := range all {
			differ := 0
			for i, id := range x.clean {
				if x.corrupted[i] != id {
					differ++
				}
			}
			if differ != 1 || len(x.clean) != len(all[0].clean) || x.target == x.foil {
				t.Errorf("%s: %+v", task.name, x)
			}
			if task.name != "agreement" && (!slices.Contains(x.clean, x.target) || !slices.Contains(x.corrupted, x.foil) ||
				slices.Contains(x.clean, x.foil)) {
				t.Errorf("%s: the answers are not in the texts: %+v", task.name, x)
			}
		}
	}
}

// Scores that are the truth find all, their opposite nothing, and constant ones half.
func TestDiscrimination(t *testing.T) {
	truth := []float64{0.5, 0.02, 0.11, 0.09, 0}
	opposite, flat := make([]float64, 5), make([]float64, 5)
	for i, v := range truth {
		opposite[i] = -v
	}
	for want, scores := range map[float64][]float64{1: truth, 0: opposite, 0.5: flat} {
		if got := discrimination(scores, truth); got != want {
			t.Errorf("%v: %v, want %v", scores, got, want)
		}
	}
	if got := discrimination(truth, flat); !math.IsNaN(got) {
		t.Errorf("where nothing matters: %v", got)
	}
	if got := under([]int{0, 1, 3}, []float64{1, 0, -2}); math.Abs(got-0.5/3) > 1e-12 {
		t.Errorf("the mean height is %v", got)
	}
}

func TestWrongInside(t *testing.T) {
	for want, c := range map[string]InsideConfig{`no task "marker"`: {Tasks: []string{"marker"}}, "-1 texts": {Items: -1},
		"-2 steps": {Steps: -2}} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
