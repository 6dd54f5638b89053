// Package generate continues texts with a language model, token by token.
package generate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Config says how to choose each next token, and when to stop. The zero value takes the most likely token, 100 times.
//
// The filters apply in this order: temperature, TopK, TopP.
type Config struct {
	Tokens      int      // at most so many new tokens; 0: 100
	Temperature float64  // logits are divided by it; 0: greedy, the most likely token
	TopK        int      // choose among the k most likely tokens; 0: all
	TopP        float64  // then among the fewest of these that have this share of the probability (nucleus sampling); 0 and 1: all
	Stop        []string // end before the first of these texts; they may span tokens
	Seed        uint64   // of the random choices; the same seed gives the same text

	// NoSlide makes a full context an error. Otherwise a Transformer whose context is full goes on from the last half
	// of it, which it reads again: one more reading of context/2 tokens for every context/2 new ones. What came
	// before is forgotten, as is the start of a prompt longer than the context.
	NoSlide bool
}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	var errs []error
	if c.Tokens < 0 {
		errs = append(errs, fmt.Errorf("the number of tokens is %d: give 1 or more, or 0 for 100", c.Tokens))
	}
	if !(c.Temperature >= 0) || c.Temperature*0 != 0 {
		errs = append(errs, fmt.Errorf("the temperature is %v: give 0 (greedy) or a positive number", c.Temperature))
	}
	if c.TopK < 0 {
		errs = append(errs, fmt.Errorf("TopK is %d: give 1 or more, or 0 for all tokens", c.TopK))
	}
	if !(c.TopP >= 0 && c.TopP <= 1) {
		errs = append(errs, fmt.Errorf("TopP is %v: give a share between 0 and 1; 0 and 1 are all tokens", c.TopP))
	}
	if slices.Contains(c.Stop, "") {
		errs = append(errs, errors.New("one of the stop texts is empty, which would end everything before it begins: remove it"))
	}
	return errors.Join(errs...)
}

// Token is a new token of the text.
type Token struct {
	ID token.ID
	// Text is what the token adds to the text: the texts of all tokens make up the whole. It is empty for a token that
	// ends inside a character, or inside what may become a stop text: what it holds back comes with a later token.
	// Bytes that no token completes to a character are U+FFFD. It is empty for a model without a tokenizer.
	Text    string
	LogProb float64 // of the token by the model, in nats, before temperature and filters
}

// Prompt is what a text begins with: text, or the IDs of its tokens.
type Prompt interface{ string | []token.ID }

// Stream continues a prompt. The text comes as it is made, the prompt not included; breaking the loop ends the
// generation and frees its memory. An error is the last thing to come; when ctx ends, it is that of ctx.
func Stream[P Prompt](ctx context.Context, m *lm.Model, prompt P, c Config) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		p, err := prepare(m, []P{prompt}, &c)
		if err == nil {
			err = together(ctx, m, p, c, func(_ int, t Token) bool { return yield(t, nil) })
		}
		if err != nil {
			yield(Token{}, fmt.Errorf("generate: %w", err))
		}
	}
}

// Text continues a prompt, and returns what was added.
func Text[P Prompt](ctx context.Context, m *lm.Model, prompt P, c Config) (string, error) {
	texts, err := Batch(ctx, m, []P{prompt}, c)
	if err != nil {
		return "", err
	}
	return texts[0], nil
}

// Batch continues several prompts, and returns what was added to each. Prompt i is drawn with the seed c.Seed+i, and
// has the text that it has alone with that seed (unless a draw falls within rounding, about 1e-6, of the border between
// two tokens). So the same prompt n times gives n samples. A Transformer's prompts of as many tokens run together.
func Batch[P Prompt](ctx context.Context, m *lm.Model, prompts []P, c Config) ([]string, error) {
	texts, err := batch(ctx, m, prompts, c)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	return texts, nil
}

func batch[P Prompt](ctx context.Context, m *lm.Model, prompts []P, c Config) ([]string, error) {
	if m.Tokenizer() == nil {
		return nil, errors.New("the model has no tokenizer, so there is no text: use Stream, which gives the IDs")
	}
	rows, err := prepare(m, prompts, &c)
	if err != nil {
		return nil, err
	}
	texts := make([]strings.Builder, len(rows))
	for _, some := range alike(m.Config(), rows) {
		err := together(ctx, m, some, c, func(row int, t Token) bool {
			texts[row].WriteString(t.Text)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]string, len(rows))
	for i := range out {
		out[i] = texts[i].String()
	}
	return out, nil
}

// row is a text in the making.
type row struct {
	number int
	ids    []token.ID // the prompt, and then what the model still sees
	text   *speller
	done   bool
}

// prepare checks everything, fills in the defaults, and encodes the prompts.
func prepare[P Prompt](m *lm.Model, prompts []P, c *Config) ([]*row, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Tokens == 0 {
		c.Tokens = 100
	}
	if m.Tokenizer() == nil && len(c.Stop) > 0 {
		return nil, errors.New("the model has no tokenizer, so no text can stop it: leave Stop empty")
	}
	var rows []*row
	for i, p := range prompts {
		ids, err := encode(m, p)
		if err == nil && len(ids) == 0 {
			err = errors.New("it has no tokens: give some text to go on from")
		}
		if n := m.Config().Context; err == nil && n > 0 && len(ids) > n && !c.NoSlide {
			ids = ids[len(ids)-n:]
		}
		if err == nil {
			err = m.CheckRow(ids)
		}
		if err != nil && len(prompts) > 1 {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		if err != nil {
			return nil, fmt.Errorf("the prompt: %w", err)
		}
		rows = append(rows, &row{number: i, ids: slices.Clone(ids), text: &speller{tokenizer: m.Tokenizer(), before: ids[len(ids)-1], stop: c.Stop}})
	}
	return rows, nil
}

func encode[P Prompt](m *lm.Model, prompt P) ([]token.ID, error) {
	switch p := any(prompt).(type) {
	case []token.ID:
		return p, nil
	case string:
		if m.Tokenizer() == nil {
			return nil, errors.New("the model has no tokenizer: give the IDs of its tokens")
		}
		e, err := m.Tokenizer().Encode(p)
		return e.IDs, err
	}
	panic("unreachable")
}

// maxMemory bounds what the rows that run together take, about.
const maxMemory = 1 << 30

// alike groups rows that can run together: of one length for a Transformer, and not too many at once.
func alike(c lm.Config, rows []*row) [][]*row {
	bytes := 4 * c.Vocab
	if c.Arch == lm.Transformer {
		bytes += 4 * 4 * c.Layers * c.Context * c.Width // keys and values, old and new
	}
	var groups [][]*row
	of := map[int]int{}
	for _, r := range rows {
		n := 0
		if c.Arch == lm.Transformer {
			n = len(r.ids)
		}
		g, ok := of[n]
		if !ok || (len(groups[g])+1)*bytes > maxMemory {
			g = len(groups)
			of[n] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], r)
	}
	return groups
}

// together continues rows in step, until all are done or yield returns false.
func together(ctx context.Context, m *lm.Model, rows []*row, c Config, yield func(row int, t Token) bool) error {
	w := &window{model: m, rows: rows, slide: !c.NoSlide, left: c.Tokens}
	if err := w.read(ctx); err != nil {
		return err
	}
	defer func() { w.decoder.Close() }() // whichever it is by then
	for step := range c.Tokens {
		last := step == c.Tokens-1
		busy := false
		next := make([]token.ID, len(rows)) // a row that is done goes on with token 0, unseen
		for k, logits := range w.decoder.Logits() {
			r := rows[k]
			if r.done {
				continue
			}
			id, logProb, err := c.choose(logits, c.Seed+uint64(r.number), step)
			if err != nil {
				return err
			}
			next[k] = id
			text, stopped, err := r.text.add(id, last)
			if err != nil {
				return err
			}
			r.done = stopped || last
			busy = busy || !r.done
			if !yield(r.number, Token{ID: id, Text: text, LogProb: logProb}) {
				return nil
			}
		}
		if !busy {
			return nil
		}
		if err := w.push(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// window is the part of the rows that the model sees.
type window struct {
	model   *lm.Model
	rows    []*row
	slide   bool
	left    int // tokens still to come
	decoder *lm.Decoder
}

func (w *window) read(ctx context.Context) error {
	var rows [][]token.ID
	for _, r := range w.rows {
		rows = append(rows, r.ids)
	}
	d, err := w.model.Decode(ctx, rows, w.left-1)
	if err != nil {
		return err
	}
	w.decoder = d
	return nil
}

// push shows the model one more token a row. A full Transformer forgets the first half of what it saw.
func (w *window) push(ctx context.Context, next []token.ID) error {
	w.left--
	n := w.model.Config().Context
	if n > 0 && w.slide {
		for k, r := range w.rows {
			r.ids = append(r.ids, next[k])
		}
	}
	if w.decoder.Room() > 0 || !w.slide {
		return w.decoder.Push(ctx, next)
	}
	for _, r := range w.rows {
		r.ids = slices.Clone(r.ids[len(r.ids)-max(1, n/2):])
	}
	w.decoder.Close()
	return w.read(ctx)
}
