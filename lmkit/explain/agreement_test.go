package explain

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSpearman(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"same order", []float64{1, 2, 3}, []float64{10, 200, 201}, 1},
		{"reversed", []float64{1, 2, 3}, []float64{3, 0, -7}, -1},
		{"textbook", []float64{1, 2, 3, 4, 5}, []float64{2, 1, 4, 3, 5}, 0.8},
		{"ties share ranks", []float64{1, 2, 2, 3}, []float64{1, 2, 3, 4}, 0.9486832980505138},
		{"constant", []float64{1, 1, 1}, []float64{1, 2, 3}, nan},
		{"one feature", []float64{1}, []float64{1}, nan},
		{"none", nil, nil, nan},
	} {
		got, err := Spearman(c.a, c.b)
		if err != nil || !(math.Abs(got-c.want) < 1e-12 || math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestTopOverlap(t *testing.T) {
	a, b := []float64{-5, 4, 0, 1}, []float64{5, 0, 4, 1}
	for k, want := range map[int]float64{1: 1, 2: 0.5, 3: 2. / 3, 4: 1, 9: 1} {
		if got, err := TopOverlap(a, b, k); err != nil || got != want {
			t.Errorf("k=%d: got %v, %v; want %v", k, got, err, want)
		}
	}
}

func TestAgreementRefuses(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		k    int
	}{{[]float64{1}, nil, 1}, {[]float64{math.NaN()}, []float64{1}, 1}, {[]float64{1}, []float64{1}, 0}} {
		if _, err := TopOverlap(c.a, c.b, c.k); err == nil {
			t.Errorf("TopOverlap(%v, %v, %d): no error", c.a, c.b, c.k)
		}
	}
	if _, err := Spearman([]float64{1, 2}, []float64{1}); err == nil {
		t.Error("Spearman of different lengths: no error")
	}
}

func TestAgreementProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "n")
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-4, 4).Draw(t, "x")) }),
			n, n)
		a, b := list.Draw(t, "a"), list.Draw(t, "b")
		ab, _ := Spearman(a, b)
		ba, _ := Spearman(b, a)
		minus, stretched := make([]float64, n), make([]float64, n)
		for i, x := range a {
			minus[i], stretched[i] = -x, x*x*x+5
		}
		mb, _ := Spearman(minus, b)
		sb, _ := Spearman(stretched, b)
		if math.IsNaN(ab) {
			if !math.IsNaN(ba) || !math.IsNaN(mb) || !math.IsNaN(sb) {
				t.Fatal("NaN one way only")
			}
			return
		}
		if ab < -1 || ab > 1 || math.Abs(ab-ba) > 1e-12 || math.Abs(ab+mb) > 1e-12 || math.Abs(ab-sb) > 1e-12 {
			t.Fatalf("symmetry, sign or monotone invariance fails: %v %v %v %v", ab, ba, mb, sb)
		}
		k := rapid.IntRange(1, n).Draw(t, "k")
		o1, _ := TopOverlap(a, b, k)
		o2, _ := TopOverlap(b, minus, k)
		if self, _ := TopOverlap(a, minus, k); self != 1 || o1 != o2 {
			t.Fatalf("overlap ignores signs and order: self %v, %v, %v", self, o1, o2)
		}
	})
}
