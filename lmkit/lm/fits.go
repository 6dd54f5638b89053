package lm

import "fmt"

// Fits returns an error unless so many copies of a model's parameters, as float32, fit into the machine's memory:
// making a model anew takes two, training it four (the weights, two moments of them, and the gradient).
func Fits(c Config, copies int) error {
	sum := 0.0
	for _, p := range c.WithDefaults().Params() {
		n := 1.0
		for _, d := range p.Dims {
			n *= float64(d)
		}
		sum += n
	}
	if bytes := 4 * sum * float64(copies); bytes > float64(machineMemory()) {
		return fmt.Errorf("the model has %.4g parameters, which take %s, and the machine has %s: "+
			"take a smaller width or vocabulary, or fewer layers",
			sum, Bytes(bytes), Bytes(float64(machineMemory())))
	}
	return nil
}

// fitsAs returns an error unless the weights fit into the machine's memory, as they are to be held.
func (o Options) fitsAs(c Config, from source) error {
	bytes := func(o Options) (sum float64) {
		for _, p := range c.Params() {
			kind := o.kind(p, from)
			block, _ := kind.Size(kind.Block())
			sum += float64(p.Size()) / float64(kind.Block()) * float64(block)
		}
		return sum
	}
	memory := float64(machineMemory())
	if bytes(o) <= memory {
		return nil
	}
	cure := "take a smaller model, or one of fewer bits"
	if least := bytes(Options{Weights: AsFile}); o.Weights != AsFile && least <= memory {
		cure = fmt.Sprintf("hold them as their file has them (--weights file), in %s", Bytes(least))
	}
	return fmt.Errorf("the weights take %s, and the machine has %s: %s", Bytes(bytes(o)), Bytes(memory), cure)
}

// BatchFits returns an error unless what is computed for rows of so many tokens at once fits into the machine's
// memory, by a low estimate.
func BatchFits(c Config, rows, tokens int) error {
	c = c.WithDefaults()
	bytes := 4 * float64(rows) * float64(tokens) * (float64(c.Activations(tokens)) + float64(c.Vocab))
	if bytes > float64(machineMemory()) {
		return fmt.Errorf("batches of %d rows of %d tokens take %s, and the machine has %s: "+
			"take fewer rows, or shorter ones",
			rows, tokens, Bytes(bytes), Bytes(float64(machineMemory())))
	}
	return nil
}

// PredictionsFit returns an error unless the predictions of rows of so many tokens at once fit into the machine's
// memory.
func PredictionsFit(c Config, rows, tokens int) error {
	if bytes := float64(rows) * predictionBytes(c, tokens); bytes > float64(machineMemory()) {
		return fmt.Errorf("what is predicted of %d rows of %d tokens takes %s at once, and the machine has %s: "+
			"take fewer rows, or shorter ones", rows, tokens, Bytes(bytes), Bytes(float64(machineMemory())))
	}
	return nil
}

// PredictedRows returns how many rows of so many tokens, of those that are wanted, are predicted at once in a share of
// the machine's memory that leaves room for others: one at least.
func PredictedRows(c Config, wanted, tokens int) int {
	return max(1, min(wanted, int(float64(defaultMemory())/predictionBytes(c, tokens))))
}

// predictionBytes is about what the predictions of one row take: its logits, of which the loss makes two copies, and
// the activations of one layer.
func predictionBytes(c Config, tokens int) float64 {
	c = c.WithDefaults()
	return 4 * float64(tokens) * (3*float64(c.Vocab) + float64(c.Activations(tokens))/float64(c.Layers))
}

// fits returns an error unless one row of the query fits into the machine's memory. The estimate counts all that is
// computed; half of it is what must be there at the same time, or more.
func (r *run) fits() error {
	if bytes := float64(r.rowBytes()) / 2; bytes > float64(machineMemory()) {
		return fmt.Errorf("a text of %d tokens takes %s to compute, and the machine has %s: shorten the text",
			r.length, Bytes(bytes), Bytes(float64(machineMemory())))
	}
	return nil
}

// Bytes writes a number of bytes for a reader, as in "1.5 GB".
func Bytes(n float64) string {
	for _, unit := range []string{"bytes", "kB", "MB", "GB", "TB", "PB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g EB", n)
}
