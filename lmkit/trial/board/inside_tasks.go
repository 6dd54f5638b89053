package board

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/trial"
)

// contrast is a text and the same with another word at the place that decides, so that another token follows.
type contrast struct {
	clean, corrupted []token.ID
	target, foil     token.ID
}

// insideTask is a planted task whose mechanism takes several parts of a model.
type insideTask struct {
	name  string
	learn func(ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func) (*trial.Trained, error)
	draw  func(rng *rand.Rand, n int) ([]contrast, error)
}

// insideTasks lists them. Of a part of a list that comes once more, what follows is found by looking for the token's
// first place and reading the next one; of pairs of key and value likewise; the number of a verb goes by that of the
// first of several nouns.
var insideTasks = []insideTask{
	{"copying", learnCopying, drawCopying},
	{"recall", learnRecall, drawRecall},
	{"agreement", learnAgreement, drawAgreement},
}

// InsideTasks names the planted tasks of the board of what is inside.
func InsideTasks() (names []string) {
	for _, t := range insideTasks {
		names = append(names, t.name)
	}
	return names
}

const (
	copied     = 8  // tokens of a list
	copiedFrom = 20 // tokens
	again      = 5  // tokens of it that come a second time, from any place on
	begun      = 3  // of these are there in a text that is asked about
	pairs      = 4  // of key and value
	keys       = 8  // the first tokens; the values are as many after them
)

// ids are n of the tokens from..to-1, each once.
func ids(rng *rand.Rand, n, from, to int) (out []token.ID) {
	for _, i := range rng.Perm(to - from)[:n] {
		out = append(out, token.ID(from+i))
	}
	return out
}

// learnTokens trains a model on drawn rows of tokens, of which the last are to be predicted.
func learnTokens(ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func, shape lm.Config,
	how trial.Config, draw func(*rand.Rand) corpus.Example) (*trial.Trained, error) {
	var parts [2][]corpus.Example
	for i, n := range []int{20_000, 200} {
		rng := rand.New(rand.NewPCG(c.Seed, uint64(i)))
		for range n {
			parts[i] = append(parts[i], draw(rng))
		}
	}
	how.Arch, how.Steps, how.Seed, how.Progress, how.What = lm.Transformer, c.Steps, c.Seed, hears, "train"
	return trial.Learn(ctx, e, shape, nil, parts[0], parts[1], how)
}

func learnCopying(ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func) (*trial.Trained, error) {
	shape, how := lm.Config{Vocab: copiedFrom}, trial.Config{Enough: 0.05}
	return learnTokens(ctx, e, c, hears, shape, how, func(rng *rand.Rand) corpus.Example {
		list, from := ids(rng, copied, 0, copiedFrom), rng.IntN(copied-again+1)
		return corpus.Example{Tokens: slices.Concat(list, list[from:from+again]), Scored: again - 1}
	})
}

func drawCopying(rng *rand.Rand, n int) (all []contrast, err error) {
	for range n {
		list, from := ids(rng, copied+1, 0, copiedFrom), rng.IntN(copied-again+1)
		other := list[copied]
		list = list[:copied]
		x := contrast{clean: slices.Concat(list, list[from:from+begun]), target: list[from+begun], foil: other}
		x.corrupted = slices.Clone(x.clean)
		x.corrupted[from+begun] = other
		all = append(all, x)
	}
	return all, nil
}

// recall is pairs, and all keys with their values once more in another order.
func recall(rng *rand.Rand) (row []token.ID) {
	k, v := ids(rng, pairs, 0, keys), ids(rng, pairs, keys, 2*keys)
	for i := range k {
		row = append(row, k[i], v[i])
	}
	for _, i := range rng.Perm(pairs) {
		row = append(row, k[i], v[i])
	}
	return row
}

func learnRecall(ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func) (*trial.Trained, error) {
	// Which key comes next cannot be known: half of the tokens have ln 4!/4 nats each.
	const unknowable = 0.397
	// With learned positions the loss is 0.8 after 3,000 steps. Where queries and keys turn, and the rate rises first, it
	// falls to 0.45 in 1,500.
	shape := lm.Config{Vocab: 2 * keys}
	shape.Rope.Theta = 100
	how := trial.Config{Enough: unknowable + 0.06, Rate: 3e-3, Warmup: 100}
	return learnTokens(ctx, e, c, hears, shape, how, func(rng *rand.Rand) corpus.Example {
		return corpus.Example{Tokens: recall(rng), Scored: 2 * pairs}
	})
}

func drawRecall(rng *rand.Rand, n int) (all []contrast, err error) {
	for range n {
		row := recall(rng)
		x := contrast{clean: row[:2*pairs+1], target: row[2*pairs+1]}
		for x.foil = token.ID(keys); slices.Contains(row, x.foil); {
			x.foil = token.ID(keys + rng.IntN(keys))
		}
		x.corrupted = slices.Clone(x.clean)
		x.corrupted[slices.Index(x.clean, x.target)] = x.foil
		all = append(all, x)
	}
	return all, nil
}

// agreement is the planted task of that name, and its tokenizer.
func agreement() (*plant.Task, token.Tokenizer, error) {
	t, err := plant.New(plant.Config{Task: "agreement"})
	if err != nil {
		return nil, nil, err
	}
	tok, err := trial.Tokenizer(t)
	return t, tok, err
}

func learnAgreement(
	ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func,
) (*trial.Trained, error) {
	t, _, err := agreement()
	if err != nil {
		return nil, err
	}
	return trial.Train(ctx, e, t, trial.Config{Arch: lm.Transformer, Steps: c.Steps, Seed: c.Seed, Progress: hears,
		What: "train"})
}

func drawAgreement(rng *rand.Rand, n int) (all []contrast, err error) {
	t, tok, err := agreement()
	if err != nil {
		return nil, err
	}
	read := func(words []string) (out []token.ID, err error) {
		for _, w := range words {
			id, ok := tok.Lookup(w)
			if !ok {
				return nil, fmt.Errorf("the tokenizer has no %q", w)
			}
			out = append(out, id)
		}
		return out, nil
	}
	items := t.Items(rng.Uint64(), plant.Test, 2*n)
	for _, item := range items {
		i := slices.IndexFunc(items, func(o plant.Item) bool {
			return o.Label == item.Foil && len(o.Tokens) == len(item.Tokens) && slices.Equal(o.Cause, item.Cause)
		})
		if i < 0 || len(all) == n || len(all) > 0 && len(item.Tokens) != len(all[0].clean) {
			continue
		}
		words := slices.Clone(item.Tokens)
		for _, at := range item.Cause {
			words[at] = items[i].Tokens[at]
		}
		var x contrast
		var ends []token.ID
		if x.clean, err = read(item.Tokens); err != nil {
			return nil, err
		}
		if x.corrupted, err = read(words); err != nil {
			return nil, err
		}
		if ends, err = read([]string{item.Label, item.Foil}); err != nil {
			return nil, err
		}
		x.target, x.foil = ends[0], ends[1]
		all = append(all, x)
	}
	return all, nil
}
