package faithful_test

import (
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

func markerTask(t testing.TB) *plant.Task {
	t.Helper()
	return must[*plant.Task](t)(plant.New(plant.Config{Task: "marker"}))
}

func wordsOf(t testing.TB, task *plant.Task) *token.Word {
	t.Helper()
	return must[*token.Word](t)(token.NewWord(slices.Values([]string{strings.Join(task.Vocabulary(), " ")}),
		token.WordConfig{}))
}

// markerModel returns an LSTM of one unit with weights set by hand, of which the truth is known exactly. It adds up the
// embeddings it reads, each through tanh(5x), in its only cell: c = tanh(5 ruby) per "ruby", c = tanh(5 jade) per
// "jade", and nothing for any other word. The logits are 4 tanh(c) of "yes", bias - 4 tanh(c) of "no", and -10 of all
// others.
func markerModel(t testing.TB, ruby, jade, bias float32) *lm.Model {
	t.Helper()
	tok := wordsOf(t, markerTask(t))
	V := tok.Size()
	embedding, out, biases := make([]float32, V), make([]float32, V), make([]float32, V)
	for i := range biases {
		biases[i] = -10
	}
	set := func(to []float32, word string, v float32) {
		id, ok := tok.Lookup(word)
		if !ok {
			t.Fatalf("there is no word %q", word)
		}
		to[id] = v
	}
	set(embedding, "ruby", ruby)
	set(embedding, "jade", jade)
	set(out, "yes", 4)
	set(out, "no", -4)
	set(biases, "yes", 0)
	set(biases, "no", bias)
	m, err := lm.FromWeights(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: V, Width: 1, Hidden: 1, Layers: 1},
		tok, map[string]lm.Array{
			"embed.weight":         {Dims: []int{V, 1}, Data: embedding},
			"lstm.0.input.weight":  {Dims: []int{4, 1}, Data: []float32{0, 0, 5, 0}}, // i, f, g, o
			"lstm.0.hidden.weight": {Dims: []int{4, 1}, Data: make([]float32, 4)},
			"lstm.0.input.bias":    {Dims: []int{4}, Data: []float32{30, 30, 0, 30}}, // open gates
			"lstm.0.hidden.bias":   {Dims: []int{4}, Data: make([]float32, 4)},
			"head.weight":          {Dims: []int{V, 1}, Data: out},
			"head.bias":            {Dims: []int{V}, Data: biases},
		})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}
