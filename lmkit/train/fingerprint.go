package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
)

// sampled is how many batches tell data without end apart, and thorough how many those that have one: of more, which
// may lie on a disk and be larger than the memory, as many are read, evenly spread.
const (
	sampled  = 64
	thorough = 4096
)

// fingerprint returns a hash of the data to train on, and one of all data. It returns an error unless the model can
// read them. Of data without end it sees the first batches only, of very long data a sample.
func fingerprint(m lm.Config, d Data) (train, all string, err error) {
	h := sha256.New()
	if err := addBatches(h, m, d.Train); err != nil {
		return "", "", fmt.Errorf("the data to train on: %w", err)
	}
	train = hex.EncodeToString(h.Sum(nil))
	if d.Valid != nil {
		if d.Valid.Len() == 0 {
			return "", "", fmt.Errorf("the data to validate on have no end: " +
				"an evaluation needs batches that do, as corpus.Sweep gives")
		}
		if err := addBatches(h, m, d.Valid); err != nil {
			return "", "", fmt.Errorf("the data to validate on: %w", err)
		}
	}
	return train, hex.EncodeToString(h.Sum(nil)), nil
}

func addBatches(h hash.Hash, m lm.Config, batches corpus.Batches) error {
	n := batches.Len()
	buf := binary.LittleEndian.AppendUint64(nil, uint64(n))
	if n == 0 {
		n = sampled
	}
	scored := 0
	for k := range min(n, thorough) {
		i := k
		if n > thorough {
			i = k * (n - 1) / (thorough - 1)
		}
		b, err := batches.At(i)
		if err != nil {
			return err
		}
		if err := checkBatch(m, b); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
		scored += b.Scored()
		buf = binary.LittleEndian.AppendUint32(buf, uint32(b.Rows))
		buf = appendBatch(buf, b)
		h.Write(buf)
		buf = buf[:0]
	}
	if scored == 0 {
		return fmt.Errorf("there is no target to predict")
	}
	return nil
}

func appendBatch(buf []byte, b corpus.Batch) []byte {
	if b.After == nil { // a target for every token, as in the runs of earlier versions
		for j := range b.Inputs {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(b.Inputs[j]))
			buf = binary.LittleEndian.AppendUint32(buf, uint32(b.Targets[j]))
		}
		return buf
	}
	for _, id := range b.Inputs {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(id))
	}
	for j, id := range b.Targets {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(id))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(b.After[j]))
	}
	return buf
}
