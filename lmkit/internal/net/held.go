package net

// Floats is the name of what Numbers and Rows return.
const Floats = "floats"

// Decodes reports whether matrices can be held as blocks of so many bytes.
func Decodes(bytes int) bool { return blocks[bytes] != nil }

// Numbers is a parameter as float32, whatever it is held as.
type Numbers struct{ Param string }

// Key names the program.
func (k Numbers) Key() string { return "numbers" }

// Signature lists the parameter, and Floats, in its shape.
func (k Numbers) Signature(Config) Signature {
	return Signature{Params: []string{k.Param}, Outputs: []string{Floats}}
}

// Rows looks up the embeddings of tokens.
type Rows struct{}

// Key names the program.
func (k Rows) Key() string { return "rows" }

// Signature lists IDs [N] and Floats [N, D].
func (k Rows) Signature(Config) Signature {
	return Signature{Params: []string{"embed.weight"}, Inputs: []string{IDs}, Outputs: []string{Floats}}
}
