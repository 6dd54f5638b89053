package corpus

import (
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/token"
)

// Stream is a long sequence of tokens that can be read anywhere. It is safe for concurrent use.
type Stream interface {
	// Len is the number of tokens.
	Len() int
	// Copy fills dst with the tokens from position from on. It fails, and leaves dst as it may be, when the stream does
	// not hold positions from ... from+len(dst)-1.
	Copy(dst []token.ID, from int) error
}

// Memory is a Stream that is held in memory.
type Memory []token.ID

// Len is the number of tokens.
func (m Memory) Len() int { return len(m) }

// Copy fills dst with the tokens from position from on.
func (m Memory) Copy(dst []token.ID, from int) error {
	if from < 0 || from > len(m) || len(dst) > len(m)-from {
		return fmt.Errorf("read %d tokens from position %d: the stream has %d", len(dst), from, len(m))
	}
	copy(dst, m[from:])
	return nil
}

// Ends are the tokens that Encode puts after each line and after each document; nil puts none.
type Ends struct{ Line, Document *token.ID }

// Encode turns documents into one stream, a document at a time. With ends.Line set it encodes each line by itself,
// without its line break ("\n" or "\r\n"), which that token then stands for; without, the text goes to the tokenizer
// as it is. The text of a special token, such as <|endoftext|> between stories, is that token.
func Encode(tok token.Tokenizer, docs []Document, ends Ends) (Memory, error) {
	for _, end := range []*token.ID{ends.Line, ends.Document} {
		if end != nil && (*end < 0 || int(*end) >= tok.Size()) {
			return nil, fmt.Errorf("encode corpus: end token %d is outside the vocabulary of %d tokens", *end, tok.Size())
		}
	}
	if len(docs) == 0 {
		return nil, errors.New("encode corpus: no documents: this part of the corpus is empty")
	}
	var m Memory
	for _, d := range docs {
		if ends.Line == nil {
			e, err := token.EncodeWith(tok, d.Text, token.Options{Special: true})
			if err != nil {
				return nil, fmt.Errorf("document %s: %w", d.Name, err)
			}
			m = append(m, e.IDs...)
		} else {
			number := 0
			for line := range strings.Lines(d.Text) {
				number++
				bare, _ := strings.CutSuffix(line, "\n")
				bare, _ = strings.CutSuffix(bare, "\r")
				e, err := token.EncodeWith(tok, bare, token.Options{Special: true, Bare: true})
				if err != nil {
					return nil, fmt.Errorf("document %s line %d: %w", d.Name, number, err)
				}
				m = append(append(m, e.IDs...), *ends.Line)
			}
		}
		if ends.Document != nil {
			m = append(m, *ends.Document)
		}
	}
	return m, nil
}
