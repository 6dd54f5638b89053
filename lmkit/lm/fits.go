package lm

import "fmt"

// Fits returns an error unless so many copies of a model's parameters fit into the machine's memory: opening a
// model takes one, making it anew two, training it four (the weights, two moments of them, and the gradient).
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
