package token

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
)

// TrainBPE learns a byte-level BPE vocabulary of at most size tokens from texts: the 256 bytes, one more token for
// each merge, and the special tokens last. The most frequent pair is merged first; among equally frequent ones the
// pair with the lower IDs. A pair that occurs once is not worth a token, so a short text can yield fewer tokens than
// size. The order of texts does not matter. Texts are cut at special tokens.
func TrainBPE(ctx context.Context, texts iter.Seq[string], size int, special ...string) (*BPE, error) {
	if least := 256 + len(special); size < least || size > math.MaxInt32 {
		return nil, fmt.Errorf("train BPE: a vocabulary of %d tokens: give %d (the bytes and the special tokens) or more",
			size, least)
	}
	added, err := newSpecial(special, 0)
	if err != nil {
		return nil, fmt.Errorf("train BPE: %w", err)
	}
	t := trainer{ids: map[string]ID{}, counts: map[pair]int{}, where: map[pair][]int32{}}
	if err := t.load(ctx, texts, added); err != nil {
		return nil, fmt.Errorf("train BPE: %w", err)
	}
	if err := t.run(ctx, size-len(special)); err != nil {
		return nil, fmt.Errorf("train BPE: %w", err)
	}
	for i := range added {
		added[i].id = ID(len(t.tokens))
		t.tokens = append(t.tokens, added[i].content)
	}
	b, err := newBPE(gpt2Settings(), t.tokens, t.merges, nil, added)
	if err != nil {
		return nil, fmt.Errorf("train BPE: %w", err)
	}
	return b, nil
}

// trainer holds each distinct pre-token once, with how often it occurs, and the counts of all pairs in them, which a
// merge updates only where it happens.
type trainer struct {
	tokens []string
	ids    map[string]ID
	merges []merge
	words  []trainWord
	counts map[pair]int
	where  map[pair][]int32 // words that hold the pair, or held it
	queue  pairHeap         // an entry is out of date when its count is no longer the pair's
}

type trainWord struct {
	ids   []ID
	count int
}

// load counts the pre-tokens and pairs of texts.
func (t *trainer) load(ctx context.Context, texts iter.Seq[string], added []addedToken) error {
	for i, b := range byteOrder {
		s := string([]byte{b})
		t.tokens = append(t.tokens, s)
		t.ids[s] = ID(i)
	}
	special := newAddedSet(added, func(text string) string { return text })
	words := map[string]int{}
	n := 0
	for text := range texts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkUTF8(text); err != nil {
			return fmt.Errorf("text %d: %w", n, err)
		}
		n++
		for at, id := range special.split(text, 0, func(addedToken, Span) bool { return false }) {
			if id >= 0 {
				continue
			}
			for piece := text[at.Start:at.End]; piece != ""; {
				n := gpt2Piece(piece)
				words[piece[:n]]++
				piece = piece[n:]
			}
		}
	}
	if len(words) == 0 {
		return fmt.Errorf("%d texts hold nothing to learn from: give the training text", n)
	}
	for _, w := range slices.Sorted(maps.Keys(words)) {
		word := trainWord{count: words[w]}
		for i := range len(w) {
			word.ids = append(word.ids, t.ids[w[i:i+1]])
		}
		t.words = append(t.words, word)
		t.count(int32(len(t.words)-1), word.ids, word.count)
	}
	for p, c := range t.counts {
		t.queue = append(t.queue, pairCount{p, c})
	}
	heap.Init(&t.queue)
	return nil
}

// count adds n to each pair of a word that holds ids.
func (t *trainer) count(word int32, ids []ID, n int) {
	for i := range len(ids) - 1 {
		p := pair{ids[i], ids[i+1]}
		t.counts[p] += n
		if at := t.where[p]; n > 0 && (len(at) == 0 || at[len(at)-1] != word) {
			t.where[p] = append(at, word)
		}
	}
}

// run merges until there are size tokens, or no pair that occurs twice.
func (t *trainer) run(ctx context.Context, size int) error {
	for len(t.tokens) < size && len(t.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		top := heap.Pop(&t.queue).(pairCount)
		if now := t.counts[top.pair]; now != top.count {
			if now > 0 {
				heap.Push(&t.queue, pairCount{top.pair, now})
			}
			continue
		}
		if top.count < 2 {
			return nil
		}
		t.apply(top.pair)
	}
	return nil
}

// apply makes one token of a pair, everywhere.
func (t *trainer) apply(p pair) {
	text := t.tokens[p.left] + t.tokens[p.right]
	into, known := t.ids[text]
	if !known { // two different pairs can spell the same token
		into = ID(len(t.tokens))
		t.tokens = append(t.tokens, text)
		t.ids[text] = into
	}
	t.merges = append(t.merges, merge{p, into})
	words := t.where[p]
	slices.Sort(words)
	changed := map[pair]bool{}
	for _, w := range slices.Compact(words) {
		word := &t.words[w]
		t.count(w, word.ids, -word.count)
		word.ids = mergeAll(word.ids, p, into)
		t.count(w, word.ids, word.count)
		for i := range len(word.ids) - 1 {
			if word.ids[i] == into || word.ids[i+1] == into {
				changed[pair{word.ids[i], word.ids[i+1]}] = true
			}
		}
	}
	delete(t.counts, p)
	delete(t.where, p)
	for c := range changed {
		heap.Push(&t.queue, pairCount{c, t.counts[c]})
	}
}

// mergeAll replaces each occurrence of a pair, from left to right, in place.
func mergeAll(ids []ID, p pair, into ID) []ID {
	out := ids[:0]
	for i := 0; i < len(ids); i++ {
		if i+1 < len(ids) && ids[i] == p.left && ids[i+1] == p.right {
			out = append(out, into)
			i++
		} else {
			out = append(out, ids[i])
		}
	}
	return out
}

type pairCount struct {
	pair  pair
	count int
}

// pairHeap has the pair to merge next at its root.
type pairHeap []pairCount

func (h pairHeap) Len() int { return len(h) }
func (h pairHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.pair.left, b.pair.left),
		cmp.Compare(a.pair.right, b.pair.right)) < 0
}
func (h pairHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *pairHeap) Push(x any)   { *h = append(*h, x.(pairCount)) }
func (h *pairHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
