package lm

import "lmkit.internal/lmkit/internal/program"

// cached is for how many tokens a Transformer's [Decoder] keeps keys and values, when its longest row has so many
// tokens and is to get room for more.
func cached(c Config, longest, room int) int {
	return min(program.Bucket(longest+min(max(room, 1), c.Context), 64), c.Context)
}

// RowBytes is about how many bytes a row of a [Decoder] takes: its logits and, of a Transformer, keys and values,
// which are there twice, before a step and after it.
func RowBytes(c Config, longest, room int) int {
	bytes := 4 * c.Vocab
	if c.Attends() {
		bytes += 2 * 2 * 4 * c.Layers * product(c.Memory(1, cached(c, longest, room)))
	}
	return bytes
}
