package plant

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/token"
	"pgregory.net/rapid"
)

// labelOf is the rule of each task, written from its description alone.
func labelOf(task string, tokens []string) string {
	has := func(w string) bool { return slices.Contains(tokens, w) }
	switch task {
	case "marker", "shortcut":
		switch {
		case has("ruby") && !has("jade"):
			return "yes"
		case has("jade") && !has("ruby"):
			return "no"
		}
	case "pair":
		r, j := slices.Index(tokens, "ruby"), slices.Index(tokens, "jade")
		switch {
		case r < 0 || j < 0:
		case r < j:
			return "yes"
		default:
			return "no"
		}
	case "recall":
		asked := tokens[len(tokens)-2]
		for i := 0; tokens[i] != "?"; i += 2 {
			if tokens[i] == asked {
				return tokens[i+1]
			}
		}
	case "agreement":
		if _, many := toOne[tokens[1]]; many {
			return "are"
		}
		return "is"
	}
	return "none"
}

var toOne, toMany = func() (one, many map[string]string) {
	one, many = map[string]string{}, map[string]string{}
	for i, s := range singular {
		one[plural[i]], many[s] = s, plural[i]
	}
	return
}()

// swapped returns the tokens with the cause turned round: the label must become the foil.
func swapped(task string, it Item) []string {
	tokens := slices.Clone(it.Tokens)
	c := it.Cause
	switch task {
	case "marker", "shortcut":
		tokens[c[0]] = map[string]string{"ruby": "jade", "jade": "ruby"}[tokens[c[0]]]
	case "pair":
		tokens[c[0]], tokens[c[1]] = tokens[c[1]], tokens[c[0]]
	case "recall": // the value of the key changes places with the foil
		foil := slices.Index(tokens, it.Foil)
		tokens[c[1]], tokens[foil] = tokens[foil], tokens[c[1]]
	case "agreement":
		if one, ok := toOne[tokens[1]]; ok {
			tokens[1] = one
		} else {
			tokens[1] = toMany[tokens[1]]
		}
	}
	return tokens
}

// changed puts another word of the same sort, one that is not there yet, at a position.
func changed(t *rapid.T, tokens []string, at int) []string {
	sorts := [][]string{slices.Concat(fillers, shortcuts), keys, values, slices.Concat(singular, plural), between}
	old := tokens[at]
	i := slices.IndexFunc(sorts, func(s []string) bool { return slices.Contains(s, old) })
	if i < 0 {
		return tokens // an article or a mark
	}
	free := slices.DeleteFunc(slices.Clone(sorts[i]), func(w string) bool { return slices.Contains(tokens, w) })
	if len(free) == 0 {
		return tokens
	}
	tokens = slices.Clone(tokens)
	tokens[at] = rapid.SampledFrom(free).Draw(t, "word")
	return tokens
}

func anyTask(t *rapid.T) *Task {
	k := rapid.SampledFrom(kinds).Draw(t, "task")
	c := Config{Task: k.name, Size: rapid.IntRange(k.least, min(k.most, 40)).Draw(t, "size")}
	task, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func anyItem(t *rapid.T, task *Task) Item {
	part := rapid.SampledFrom([]Part{Train, Valid, Test}).Draw(t, "part")
	return task.Item(rapid.Uint64().Draw(t, "seed"), part, rapid.IntRange(0, 1<<20).Draw(t, "i"))
}

func TestCauseDeterminesLabel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := anyTask(t)
		name := task.Config().Task
		it := anyItem(t, task)
		if got := labelOf(name, it.Tokens); got != it.Label {
			t.Fatalf("%q has label %s by the rule, %s by the item", it.Text, got, it.Label)
		}
		if it.Foil == it.Label || !slices.Contains(task.Labels(), it.Foil) {
			t.Fatalf("foil %q of label %q", it.Foil, it.Label)
		}
		if got := labelOf(name, swapped(name, it)); got != it.Foil {
			t.Fatalf("%q with its cause swapped has label %s, want the foil %s", it.Text, got, it.Foil)
		}
		tokens := it.Tokens
		for at := range tokens { // one after the other: in the end nothing but the cause is left
			if !slices.Contains(it.Cause, at) {
				tokens = changed(t, tokens, at)
				if got := labelOf(name, tokens); got != it.Label {
					t.Fatalf("%q became %q: label %s, though the cause of %s stayed", it.Text, tokens, got, it.Label)
				}
			}
		}
	})
}

func TestItemIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := anyTask(t)
		it := anyItem(t, task)
		if it.Text != strings.Join(it.Tokens, " ") || it.Line() != it.Text+" "+it.Label+" ." {
			t.Fatalf("text %q and line %q do not follow from the tokens %q", it.Text, it.Line(), it.Tokens)
		}
		for _, list := range [][]int{it.Cause, it.Decoys} {
			if !slices.IsSorted(list) || len(list) > 0 && (list[0] < 0 || list[len(list)-1] >= len(it.Tokens)) {
				t.Fatalf("positions %v in %d tokens", list, len(it.Tokens))
			}
		}
		for _, c := range it.Cause {
			if slices.Contains(it.Decoys, c) {
				t.Fatalf("token %d is both cause and decoy", c)
			}
		}
		vocabulary := task.Vocabulary()
		for _, w := range append(slices.Clone(it.Tokens), it.Label, it.Foil, End) {
			if !slices.Contains(vocabulary, w) {
				t.Fatalf("%q is not in the vocabulary", w)
			}
		}
		if sorted := slices.Sorted(slices.Values(vocabulary)); len(slices.Compact(sorted)) != len(vocabulary) {
			t.Fatal("the vocabulary repeats a word")
		}
	})
}

// TestSize checks that Size has the meaning that Config gives it.
func TestSize(t *testing.T) {
	tokens := map[string]func(size int) int{
		"marker":    func(n int) int { return n + 1 },
		"pair":      func(n int) int { return n + 1 },
		"shortcut":  func(n int) int { return n + 1 },
		"recall":    func(n int) int { return 2*n + 3 },
		"agreement": func(n int) int { return 2 + 3*n },
	}
	for _, k := range kinds {
		for _, size := range []int{k.least, k.size, k.most} {
			task, err := New(Config{Task: k.name, Size: size})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(task.Item(1, Train, 0).Tokens), tokens[k.name](size); got != want {
				t.Errorf("%s of size %d has %d tokens, want %d", k.name, size, got, want)
			}
		}
	}
}

func TestDeterminismAndParts(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			first, err := New(Config{Task: k.name})
			if err != nil {
				t.Fatal(err)
			}
			again, _ := New(Config{Task: k.name, Size: k.size, Bias: defaultBias})
			seen := map[string]Part{}
			for part := Train; part <= Test; part++ {
				items := first.Items(7, part, 600)
				for i := range items {
					if got := again.Item(7, part, len(items)-1-i); !reflect.DeepEqual(got, items[len(items)-1-i]) {
						t.Fatalf("item %d differs when it is made out of order", i)
					}
				}
				if other := first.Item(8, part, 0); reflect.DeepEqual(other, items[0]) {
					t.Error("another seed gives the same item")
				}
				distinct := map[string]bool{}
				for _, it := range append(items, first.Items(8, part, 600)...) {
					if p, ok := seen[it.Text]; ok && p != part {
						t.Fatalf("%q is in two parts", it.Text)
					}
					seen[it.Text] = part
					distinct[it.Text] = true
				}
				if len(distinct) < 1000 {
					t.Errorf("part %d: only %d distinct texts in 1200", part, len(distinct))
				}
			}
		})
	}
}

func TestLabelsAreBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := anyTask(t)
		labels := task.Labels()
		seed := rapid.Uint64().Draw(t, "seed")
		block := rapid.IntRange(0, 1000).Draw(t, "block")
		part := rapid.SampledFrom([]Part{Train, Valid, Test}).Draw(t, "part")
		var got []string
		for i := range labels {
			got = append(got, task.Item(seed, part, block*len(labels)+i).Label)
		}
		slices.Sort(got)
		slices.Sort(labels)
		if !slices.Equal(got, labels) {
			t.Fatalf("labels %v of one block, want each once", got)
		}
	})
}

// TestNothingElseTells checks that the place of the cause and the decoys say nothing about the label on average.
func TestNothingElseTells(t *testing.T) {
	const n = 4000
	for _, tt := range []struct {
		task string
		tell func(Item) bool
	}{
		{"marker", func(it Item) bool { return it.Cause[0] < 6 }},
		{"shortcut", func(it Item) bool { return it.Cause[0] < it.Decoys[0] }},
		{"pair", func(it Item) bool { return it.Cause[1]-it.Cause[0] > 3 }},
		{"agreement", func(it Item) bool { return toOne[it.Tokens[it.Decoys[0]]] != "" }},
	} {
		task, err := New(Config{Task: tt.task})
		if err != nil {
			t.Fatal(err)
		}
		agree := 0
		for _, it := range task.Items(3, Train, n) {
			if tt.tell(it) == (it.Label == task.Labels()[1]) {
				agree++
			}
		}
		if z := math.Abs(float64(agree)-n/2) / math.Sqrt(n/4); z > 4 {
			t.Errorf("%s: %d of %d items can be told by something else", tt.task, agree, n)
		}
	}
}

func TestShortcutBias(t *testing.T) {
	const n = 4000
	points := map[string]string{"plum": "yes", "lime": "no"}
	for _, tt := range []struct {
		bias float64
		part Part
		want float64
	}{{0, Train, 0.9}, {0.75, Train, 0.75}, {0.75, Valid, 0.75}, {1, Train, 1}, {0.5, Train, 0.5}, {1, Test, 0.5}} {
		task, err := New(Config{Task: "shortcut", Bias: tt.bias})
		if err != nil {
			t.Fatal(err)
		}
		agree := 0
		for _, it := range task.Items(5, tt.part, n) {
			if points[it.Tokens[it.Decoys[0]]] == it.Label {
				agree++
			}
		}
		sd := math.Sqrt(n * tt.want * (1 - tt.want))
		if math.Abs(float64(agree)-n*tt.want) > 4*sd {
			t.Errorf("bias %g part %d: the shortcut agrees in %d of %d items, want about %g", tt.bias, tt.part, agree, n,
				n*tt.want)
		}
	}
}

func TestCorpus(t *testing.T) {
	task, err := New(Config{Task: "recall"})
	if err != nil {
		t.Fatal(err)
	}
	c := task.Corpus(1, 80)
	for part, docs := range map[Part]string{Train: c.Train[0].Text, Valid: c.Valid[0].Text, Test: c.Test[0].Text} {
		lines := strings.Split(strings.TrimSuffix(docs, "\n"), "\n")
		if want := map[Part]int{Train: 80, Valid: 10, Test: 10}[part]; len(lines) != want {
			t.Errorf("part %d has %d lines, want %d", part, len(lines), want)
		}
		for i, line := range lines {
			if want := task.Item(1, part, i).Line(); line != want {
				t.Errorf("part %d line %d is %q, want %q", part, i, line, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   []string // parts of the message; none: valid
	}{
		{Config{Task: "marker"}, nil},
		{Config{Task: "shortcut", Size: 5, Bias: 0.5}, nil},
		{Config{}, []string{`unknown planted task ""`, "marker, pair, recall, agreement, shortcut"}},
		{Config{Task: "marker", Size: 3}, []string{"size 3: need 4 to 1024"}},
		{Config{Task: "recall", Size: 13}, []string{"size 13: need 2 to 12"}},
		{Config{Task: "shortcut", Size: -1, Bias: 0.4}, []string{"size -1", "bias 0.4"}},
		{Config{Task: "shortcut", Bias: math.NaN()}, []string{"bias NaN"}},
	} {
		_, err := New(tt.config)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%+v: error %v", tt.config, err)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %q, want %q in it", tt.config, err, want)
			}
		}
	}
}

// wordTokenizer knows the vocabulary of a task.
func wordTokenizer(t *testing.T, task *Task) *token.Word {
	t.Helper()
	w, err := token.NewWord(slices.Values(task.Vocabulary()), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTokensAreWords checks that token i of an item is token i of the model's input, so that positions of causes hold
// there.
func TestTokensAreWords(t *testing.T) {
	for _, name := range Tasks() {
		task, err := New(Config{Task: name})
		if err != nil {
			t.Fatal(err)
		}
		words := wordTokenizer(t, task)
		if got, want := words.Size(), len(task.Vocabulary())+1; got != want {
			t.Errorf("%s: %d tokens, want the %d of the vocabulary and <unk>", name, got, want)
		}
		for _, it := range task.Items(1, Test, 100) {
			e, err := words.Encode(it.Line())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, id := range e.IDs {
				got = append(got, words.Token(id))
			}
			if want := append(slices.Clone(it.Tokens), it.Label, End); !slices.Equal(got, want) {
				t.Fatalf("%s: tokens %q, want %q", name, got, want)
			}
		}
	}
}

func TestExamples(t *testing.T) {
	for _, name := range Tasks() {
		task, err := New(Config{Task: name})
		if err != nil {
			t.Fatal(err)
		}
		words := wordTokenizer(t, task)
		items := task.Items(1, Train, 10)
		examples, err := Examples(words, items)
		if err != nil {
			t.Fatal(err)
		}
		batches, err := corpus.Padded(examples, len(items))
		if err != nil {
			t.Fatal(err)
		}
		b, err := batches.At(0)
		if err != nil {
			t.Fatal(err)
		}
		if b.Scored() != len(items) {
			t.Errorf("%s: %d targets for %d items", name, b.Scored(), len(items))
		}
		for r, it := range items {
			last := r*b.Length + len(it.Tokens) - 1
			if got, want := words.Token(b.Inputs[last]), it.Tokens[len(it.Tokens)-1]; got != want {
				t.Errorf("%s: the last input is %q, want %q", name, got, want)
			}
			if got := words.Token(b.Targets[last]); got != it.Label {
				t.Errorf("%s: the target is %q, want %q", name, got, it.Label)
			}
		}
	}
	chars, err := token.NewChar("abc")
	if err != nil {
		t.Fatal(err)
	}
	task, _ := New(Config{Task: "marker"})
	if _, err := Examples(chars, task.Items(1, Train, 1)); err == nil || !strings.Contains(err.Error(), "planted item 0") {
		t.Errorf("a tokenizer without the letters: error %v", err)
	}
}

// Hidden words are as many as asked for, in training alone, and nothing else changes.
func TestUnknown(t *testing.T) {
	plain, err := New(Config{Task: "pair"})
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := New(Config{Task: "pair", Unknown: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	n, all := 0, 0
	for _, part := range []Part{Train, Valid, Test} {
		for i := range 200 {
			a, b := plain.Item(3, part, i), hidden.Item(3, part, i)
			if a.Label != b.Label || b.Text != strings.Join(b.Tokens, " ") {
				t.Fatalf("item %d: %+v became %+v", i, a, b)
			}
			for k := range a.Tokens {
				if a.Tokens[k] == b.Tokens[k] {
					continue
				}
				if part != Train || b.Tokens[k] != token.UnknownWord {
					t.Fatalf("part %d, item %d: %q became %q", part, i, a.Tokens[k], b.Tokens[k])
				}
				n++
			}
			if part == Train {
				all += len(a.Tokens)
			}
		}
	}
	if share := float64(n) / float64(all); share < 0.2 || share > 0.3 {
		t.Errorf("%.2f of the words are hidden, want 0.25", share)
	}
	if _, err := New(Config{Task: "pair", Unknown: 1}); err == nil {
		t.Error("all words may be hidden")
	}
}
