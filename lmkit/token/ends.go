package token

import "slices"

// endTexts are the special tokens that end a text in the tokenizers of the usual families, whatever their files say.
var endTexts = []string{"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>",
	"<end_of_turn>", "<|end|>"}

// Ends are the special tokens of a tokenizer that are known to end a text, those that end a whole document first.
func Ends(tok Tokenizer) []ID {
	special, ok := tok.(interface{ Special() []ID })
	if !ok {
		return nil
	}
	ids := special.Special()
	var ends []ID
	for _, text := range endTexts {
		if i := slices.IndexFunc(ids, func(id ID) bool { return tok.Token(id) == text }); i >= 0 {
			ends = append(ends, ids[i])
		}
	}
	return ends
}

// Separator is the text to put between two documents that a tokenizer reads as one stream: its end-of-text token,
// or else a line break; "" if it can read neither.
func Separator(tok Tokenizer) string {
	if ends := Ends(tok); len(ends) > 0 {
		return tok.Token(ends[0])
	}
	if _, err := tok.Encode("\n"); err != nil {
		return ""
	}
	return "\n"
}

// Begin returns the token after which the first token of a text is read, where a tokenizer puts none there itself: the
// one that ends a text, as that stood before the next text in training. Word models of PyTorch have it as the word
// <eos>.
func Begin(tok Tokenizer) (ID, bool) {
	if ends := Ends(tok); len(ends) > 0 {
		return ends[0], true
	}
	if tok == nil {
		return 0, false
	}
	return tok.Lookup(wordEnd)
}

// End returns the token that ends a text: the one of [Begin], or else a line break.
func End(tok Tokenizer) (ID, bool) {
	if id, ok := Begin(tok); ok || tok == nil {
		return id, ok
	}
	return tok.Lookup("\n")
}
