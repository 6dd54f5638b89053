package corpus

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/token"
	"pgregory.net/rapid"
)

// counting is the stream 0, 1, 2 ...: a token is its position.
func counting(n int) Memory {
	m := make(Memory, n)
	for i := range m {
		m[i] = token.ID(i)
	}
	return m
}

func at(t interface{ Fatal(...any) }, b Batches, i int) Batch {
	batch, err := b.At(i)
	if err != nil {
		t.Fatal(err)
	}
	if n := batch.Rows * batch.Length; n == 0 || len(batch.Inputs) != n || len(batch.Targets) != n {
		t.Fatal("batch of", batch.Rows, "x", batch.Length, "has", len(batch.Inputs), "inputs and", len(batch.Targets),
			"targets")
	}
	return batch
}

// TestCarriedByHand is PyTorch's documented example: the alphabet in 4 rows, the last two letters trimmed.
func TestCarriedByHand(t *testing.T) {
	b, err := Carried(counting(26), 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []Batch{
		{Inputs: []token.ID{0, 1, 6, 7, 12, 13, 18, 19}, Targets: []token.ID{1, 2, 7, 8, 13, 14, 19, 20}, Rows: 4, Length: 2,
			Fresh: true},
		{Inputs: []token.ID{2, 3, 8, 9, 14, 15, 20, 21}, Targets: []token.ID{3, 4, 9, 10, 15, 16, 21, 22}, Rows: 4,
			Length: 2},
		{Inputs: []token.ID{4, 10, 16, 22}, Targets: []token.ID{5, 11, 17, 23}, Rows: 4, Length: 1},
	}
	if b.Len() != len(want) {
		t.Fatalf("%d batches, want %d", b.Len(), len(want))
	}
	for i := range want {
		if got := at(t, b, i); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("batch %d: %+v, want %+v", i, got, want[i])
		}
	}
}

func TestCarried(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 7).Draw(t, "rows")
		length := rapid.IntRange(1, 9).Draw(t, "length")
		n := rapid.IntRange(2*rows, 200).Draw(t, "n")
		b, err := Carried(counting(n), rows, length)
		if err != nil {
			t.Fatal(err)
		}
		texts := make([][]token.ID, rows) // what each row reads over the epoch
		for i := range b.Len() {
			batch := at(t, b, i)
			if batch.Fresh != (i == 0) || batch.Rows != rows || batch.Length > length ||
				(batch.Length < length && i < b.Len()-1) {
				t.Fatalf("batch %d: %d x %d, fresh %v", i, batch.Rows, batch.Length, batch.Fresh)
			}
			for r := range rows {
				texts[r] = append(texts[r], batch.Inputs[r*batch.Length:(r+1)*batch.Length]...)
				for j := range batch.Length {
					if batch.Targets[r*batch.Length+j] != batch.Inputs[r*batch.Length+j]+1 {
						t.Fatal("a target is not the next token")
					}
				}
			}
		}
		for r, text := range texts {
			from := r * (n / rows)
			if !slices.Equal(text, []token.ID(counting(n))[from:from+n/rows-1]) {
				t.Fatalf("row %d reads %v, want the stretch from %d", r, text, from)
			}
		}
	})
}

// Every token but the first is a target once, in its place after the token before it; a row reads on where it ended in
// the batch before, and is long enough for its beginning not to matter.
func TestSweepCarried(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, rows, length := rapid.IntRange(2, 90).Draw(t, "n"), rapid.IntRange(1, 9).Draw(t, "rows"),
			rapid.IntRange(1, 9).Draw(t, "length")
		b, err := SweepCarried(counting(n), rows, length)
		if err != nil {
			t.Fatal(err)
		}
		seen, last := make([]int, n), map[int]token.ID{}
		for i := range b.Len() {
			batch := at(t, b, i)
			if batch.Fresh != (i == 0) || batch.Rows > rows || batch.Length > length {
				t.Fatalf("batch %d: %d x %d, fresh %v", i, batch.Rows, batch.Length, batch.Fresh)
			}
			if batch.Rows > 1 && (n-1)/batch.Rows < length-1 {
				t.Fatalf("%d rows of %d targets", batch.Rows, n-1)
			}
			for j, target := range batch.Targets {
				if target == Ignore {
					continue
				}
				if seen[target]++; target != batch.Inputs[j]+1 {
					t.Fatal("a target is not the next token")
				}
				if r := j / batch.Length; i > 0 && j%batch.Length == 0 && batch.Inputs[j] != last[r] {
					t.Fatalf("row %d goes on with %d after %d", r, batch.Inputs[j], last[r])
				} else {
					last[r] = target
				}
			}
		}
		for id, times := range seen {
			if want := min(id, 1); times != want {
				t.Fatalf("token %d is a target %d times, want %d", id, times, want)
			}
		}
	})
}

func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 9).Draw(t, "length")
		n := rapid.IntRange(length+1, 60).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		i := rapid.IntRange(0, 1<<40).Draw(t, "i")
		b, err := Windows(counting(n), 3, length, seed)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Windows(counting(n), 3, length, seed)
		_ = at(t, again, 0) // what was read before does not matter
		batch := at(t, b, i)
		if !reflect.DeepEqual(batch, at(t, again, i)) {
			t.Fatal("batch differs from itself")
		}
		for j, input := range batch.Inputs {
			if batch.Targets[j] != input+1 || int(batch.Targets[j]) >= n || (j%length > 0 && input != batch.Inputs[j-1]+1) {
				t.Fatalf("batch %+v is not made of stretches of the stream", batch)
			}
		}
		if b.Len() != 0 || !batch.Fresh {
			t.Fatal("windows end, or carry a state")
		}
	})
}

// TestWindowsReachEverything checks that all starts occur, the first and the last included, and about equally often.
func TestWindowsReachEverything(t *testing.T) {
	const n, length, rows, batches = 12, 3, 50, 200
	b, err := Windows(counting(n), rows, length, 1)
	if err != nil {
		t.Fatal(err)
	}
	starts := make([]int, n-length)
	for i := range batches {
		batch := at(t, b, i)
		for r := range rows {
			starts[batch.Inputs[r*length]]++
		}
	}
	mean := float64(rows*batches) / float64(len(starts))
	for start, k := range starts {
		if d := float64(k) - mean; d*d > 25*mean {
			t.Errorf("start %d occurs %d times, want about %.0f", start, k, mean)
		}
	}
	other, _ := Windows(counting(n), rows, length, 2)
	if reflect.DeepEqual(at(t, b, 0), at(t, other, 0)) || reflect.DeepEqual(at(t, b, 0), at(t, b, 1)) {
		t.Error("another seed or another batch gives the same windows")
	}
}

func TestSweepScoresEachTokenOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 5).Draw(t, "rows")
		length := rapid.IntRange(1, 9).Draw(t, "length")
		n := rapid.IntRange(2, 150).Draw(t, "n")
		b, err := Sweep(counting(n), rows, length)
		if err != nil {
			t.Fatal(err)
		}
		var scored []token.ID
		for i := range b.Len() {
			batch := at(t, b, i)
			if batch.Rows != rows || batch.Length != length || batch.Fresh != (i == 0 || rows > 1) {
				t.Fatalf("batch %d: %d x %d, fresh %v", i, batch.Rows, batch.Length, batch.Fresh)
			}
			before := len(scored)
			for j, target := range batch.Targets {
				switch {
				case target == Ignore && batch.Inputs[j] != 0:
					t.Fatal("padding is not 0")
				case target != Ignore && target != batch.Inputs[j]+1:
					t.Fatal("a target is not the next token")
				case target != Ignore:
					scored = append(scored, target)
				}
			}
			if batch.Scored() != len(scored)-before || batch.Scored() == 0 {
				t.Fatalf("batch %d scores %d, counts %d", i, len(scored)-before, batch.Scored())
			}
		}
		if !slices.Equal(scored, []token.ID(counting(n))[1:]) {
			t.Fatalf("scored %v of %d tokens", scored, n)
		}
	})
}

func TestPadded(t *testing.T) {
	b, err := Padded([]Example{{[]token.ID{5, 6, 7, 8}, 1}, {[]token.ID{3, 4}, 0}, {[]token.ID{1, 2, 3}, 2}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	const x = Ignore
	want := []Batch{
		{Inputs: []token.ID{5, 6, 7, 3, 0, 0}, Targets: []token.ID{x, x, 8, 4, x, x}, Rows: 2, Length: 3, Fresh: true},
		{Inputs: []token.ID{1, 2, 0, 0, 0, 0}, Targets: []token.ID{2, 3, x, x, x, x}, Rows: 2, Length: 3, Fresh: true},
	}
	for i := range want {
		if got := at(t, b, i); b.Len() != 2 || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("batch %d of %d: %+v, want %+v", i, b.Len(), got, want[i])
		}
	}
}

func TestBatchErrors(t *testing.T) {
	short := counting(9)
	make := map[string]func() (Batches, error){
		"9 tokens, batches of 5 rows of 2 tokens need at least 10": func() (Batches, error) { return Carried(short, 5, 2) },
		"9 tokens, batches of 2 rows of 9 tokens need at least 10": func() (Batches, error) {
			return Windows(short, 2, 9,
				0)
		},
		"0 tokens, batches of 2 rows of 9 tokens need at least 2": func() (Batches, error) { return Sweep(Memory{}, 2, 9) },
		"batches of 0 rows":       func() (Batches, error) { return Carried(short, 0, 1) },
		"rows of -1 tokens":       func() (Batches, error) { return Sweep(short, 1, -1) },
		"fewer rows or shorter":   func() (Batches, error) { return Windows(short, 1<<40, 1<<40, 0) },
		"no examples":             func() (Batches, error) { return Padded(nil, 1) },
		"example 0 has 1 tokens":  func() (Batches, error) { return Padded([]Example{{[]token.ID{1}, 0}}, 1) },
		"2 tokens, 2 of them":     func() (Batches, error) { return Padded([]Example{{[]token.ID{1, 2}, 2}}, 1) },
		"batches of -3 rows of 1": func() (Batches, error) { return Padded([]Example{{[]token.ID{1, 2}, 1}}, -3) },
	}
	for want, f := range make {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	c, _ := Carried(short, 2, 2)
	w, _ := Windows(short, 2, 2, 0)
	s, _ := Sweep(short, 2, 2)
	for _, b := range []Batches{c, w, s} {
		for _, i := range []int{-1, b.Len()} {
			if _, err := b.At(i); (err == nil) != (i == 0) {
				t.Errorf("%T: batch %d: error %v", b, i, err)
			}
		}
	}
}

// broken is a stream that cannot be read.
type broken struct{ Memory }

var errBroken = errors.New("broken")

func (broken) Copy([]token.ID, int) error { return errBroken }

func TestBatchesReportTheStreamsError(t *testing.T) {
	c, _ := Carried(broken{counting(9)}, 2, 2)
	w, _ := Windows(broken{counting(9)}, 2, 2, 0)
	s, _ := Sweep(broken{counting(9)}, 2, 2)
	for _, b := range []Batches{c, w, s} {
		if _, err := b.At(0); !errors.Is(err, errBroken) {
			t.Errorf("%T: error %v", b, err)
		}
	}
}

func TestMemoryCopy(t *testing.T) {
	for _, tt := range []struct {
		n, from int
		want    bool
	}{{5, 0, true}, {0, 5, true}, {2, 3, true}, {3, 3, false}, {1, 5, false}, {0, 6, false}, {1, -1, false}} {
		dst := make([]token.ID, tt.n)
		err := counting(5).Copy(dst, tt.from)
		if (err == nil) != tt.want {
			t.Errorf("copy %d from %d: error %v", tt.n, tt.from, err)
		}
		if err == nil && !slices.Equal(dst, []token.ID(counting(5))[tt.from:tt.from+tt.n]) {
			t.Errorf("copy %d from %d: %v", tt.n, tt.from, dst)
		}
	}
}
