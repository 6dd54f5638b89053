package token

// ID numbers a token of a vocabulary: 0 <= ID < Size.
type ID int32

// Span is the half-open byte range [Start, End) of the text that a token covers.
type Span struct{ Start, End int }

// Encoding is a text as tokens. The spans tile the text: the first starts at 0, each starts where the one before
// ended, the last ends at len(Text). A span may be empty where several tokens share the bytes of one character, and is
// empty for tokens that the vocabulary puts there without a text.
// A text that yields no token at all (an empty one; for Word, also one of white space) has no spans.
type Encoding struct {
	Text  string
	IDs   []ID
	Spans []Span
	Held  []bool // the tokens that nobody wrote, such as the one that begins every text; nil: there are none
}

// Piece returns the bytes of the text that token i covers.
func (e Encoding) Piece(i int) string { return e.Text[e.Spans[i].Start:e.Spans[i].End] }

// Options say how a text is read. The zero value reads it as text that a person wrote: what looks like a special
// token is text, and the tokens that the model's file puts around every text are there.
type Options struct {
	Special bool   // a special token's text is that token
	Written []Span // with Special: what a person wrote all the same, where it never is
	Bare    bool   // without the tokens around every text: what is encoded goes on from another text, or is cut from one
}

// Tokenizer turns text into tokens and back. Implementations are immutable after they were made, and safe for
// concurrent use.
type Tokenizer interface {
	// Encode returns the tokens of a text that a person wrote. It fails when text is not valid UTF-8, or holds
	// something that the vocabulary cannot express and the tokenizer has no unknown token for.
	Encode(text string) (Encoding, error)
	// Decode returns the text of the tokens. It fails on an ID outside the vocabulary.
	Decode(ids []ID) (string, error)
	// Size is the number of tokens in the vocabulary.
	Size() int
	// Token returns the token with this ID as a reader should see it ("" for an ID outside the vocabulary).
	Token(id ID) string
	// Lookup returns the ID of a token by its text, as Token shows it.
	Lookup(text string) (ID, bool)
	// Unknown returns the ID that stands for whatever is not in the vocabulary, if there is one.
	Unknown() (ID, bool)
}

// EncodeWith is t.Encode with options, which matter to tokenizers that have special tokens, as BPE does.
func EncodeWith(t Tokenizer, text string, o Options) (Encoding, error) {
	if b, ok := t.(*BPE); ok {
		return b.EncodeWith(text, o)
	}
	return t.Encode(text)
}
