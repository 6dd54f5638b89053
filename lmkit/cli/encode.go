package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// The files of tokens in a folder, under nanoGPT's names. Beside them lies the tokenizer, as in a model's folder.
const (
	trainTokens = "train.bin"
	validTokens = "val.bin"
)

// heldOut is how many tokens are held out for validation at most, if no others are named: an evaluation reads them
// all.
const heldOut = 1 << 18

type encodeFlags struct {
	data, valid, out, tokenizer string
	words                       token.WordConfig
}

func (a *app) encodeCmd() *cobra.Command {
	var o encodeFlags
	cmd := &cobra.Command{
		Use:   "encode --data TEXT --out DIR [flags]",
		Short: "Turn text that is larger than the memory into tokens on disk",
		Long: `Turn text into tokens, a few megabytes at a time, into a folder that "lmkit train --data DIR" reads
from disk: with text of any size both take the same memory. The folder has train.bin (IDs of two or four bytes,
as nanoGPT's), val.bin if --valid names a text, and tokenizer.json. Otherwise training holds out the last tenth
of the tokens, and at most the last 262,144.

A folder of nanoGPT's, with a tokenizer.json put beside its train.bin and val.bin, is read as well.`,
		Example: `  lmkit encode --data input.txt --tokenizer bpe:512 --out tokens/input`,
		Args:    between(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.encode(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "", "a text file or a folder of them")
	f.StringVar(&o.valid, "valid", "", "a file or folder of its own to validate on")
	f.StringVar(&o.out, "out", "", "the folder `DIR` to write")
	f.StringVar(&o.tokenizer, "tokenizer", "word", "char, word, bpe[:SIZE], or a tokenizer.json to use as it is")
	f.IntVar(&o.words.MinCount, "min-count", 0, "word: words that are rarer become <unk>")
	f.IntVar(&o.words.MaxSize, "max-vocab", 0, "word: so many words at most (default: no limit)")
	return cmd
}

func (a *app) encode(ctx context.Context, o encodeFlags) error {
	if o.data == "" || o.out == "" {
		return usage("--data and --out must be given: what to encode, and the folder to write")
	}
	for _, held := range []struct{ what, name string }{
		{"tokens", trainTokens}, {"tokens", validTokens}, {"a model", lm.ConfigFile},
		{"a model", lm.WeightsFile}, {"a tokenizer", lm.TokenizerFile}} {
		if _, err := os.Lstat(filepath.Join(o.out, held.name)); err == nil {
			return fmt.Errorf("%s already holds %s; choose another folder with --out (%s is there)",
				o.out, held.what, held.name)
		}
	}
	tok, err := a.learn(ctx, o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("the folder %s cannot be made: %w; choose another with --out", o.out, plain(err))
	}
	return a.encodeAll(ctx, o, tok)
}

// encodeAll writes the folder. The files get their names when all of them are whole, so that a stopped command
// leaves no half of a corpus.
func (a *app) encodeAll(ctx context.Context, o encodeFlags, tok token.Tokenizer) (err error) {
	text, err := token.Marshal(tok)
	if err != nil {
		return err
	}
	var commits []func() error
	for _, part := range []struct{ from, to string }{{o.valid, validTokens}, {o.data, trainTokens}} {
		if part.from == "" {
			continue
		}
		path := filepath.Join(o.out, part.to)
		w, err := corpus.CreateTokens(path, tok.Size())
		if err != nil {
			return err
		}
		defer w.Close() // drops it, unless it is committed
		n, err := a.encodeTo(ctx, tok, part.from, w)
		if err != nil {
			return err
		}
		commits = append(commits, func() error {
			return errors.Join(w.Commit(), printf(a.out, "%s: %s tokens of %s\n", path, thousands(n), tokenizerName(tok)))
		})
	}
	if err := whole.Write(filepath.Join(o.out, lm.TokenizerFile), text); err != nil {
		return fmt.Errorf("write the tokenizer: %w", plain(err))
	}
	for _, commit := range commits {
		if err := commit(); err != nil {
			return err
		}
	}
	return nil
}

// learn makes the tokenizer from the text to train on, or reads it.
func (a *app) learn(ctx context.Context, o encodeFlags) (token.Tokenizer, error) {
	if strings.HasSuffix(o.tokenizer, ".json") {
		text, err := os.ReadFile(o.tokenizer)
		if err != nil {
			return nil, fmt.Errorf("read the tokenizer %s: %w", o.tokenizer, plain(err))
		}
		tok, err := token.Unmarshal(text)
		if err != nil {
			return nil, fmt.Errorf("read the tokenizer %s: %w", o.tokenizer, err)
		}
		return tok, nil
	}
	spec, err := tokenizerSpec(o.tokenizer, o.words)
	if err != nil {
		return nil, err
	}
	var failed error
	pieces := func(from ...string) func(yield func(string) bool) {
		return func(yield func(string) bool) {
			for piece, err := range a.pieces(ctx, "learning the vocabulary", "\n", from...) {
				if failed = err; err != nil || !yield(piece) {
					return
				}
			}
		}
	}
	tok, err := spec.Learn(ctx, pieces(o.data), pieces(with(o.data, o.valid)...))
	if failed != nil {
		err = failed
	}
	return tok, err
}

func with(data, valid string) []string {
	if valid == "" {
		return []string{data}
	}
	return []string{data, valid}
}

// encodeTo writes a text's tokens, and counts them.
func (a *app) encodeTo(ctx context.Context, tok token.Tokenizer, from string,
	w *corpus.TokenWriter) (n int, err error) {
	for piece, err := range a.pieces(ctx, "encoding", token.Separator(tok), from) {
		if err != nil {
			return n, err
		}
		e, err := token.EncodeWith(tok, piece, token.Options{Special: true, Bare: true})
		if err != nil {
			return n, fmt.Errorf("%s: %w", from, err)
		}
		if err := w.Append(e.IDs); err != nil {
			return n, err
		}
		n += len(e.IDs)
	}
	return n, nil
}

// pieces reads text a piece at a time, under a progress bar.
func (a *app) pieces(ctx context.Context, what, separator string, from ...string,
) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		b, total := a.meter(), size(from)
		defer b.hide()
		done := int64(0)
		for piece, err := range corpus.Pieces(separator, from...) {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(piece, err) || err != nil {
				return
			}
			done += int64(len(piece))
			b.hear(progress.Event{What: what, Done: done, Total: total, Unit: "bytes of text"})
		}
	}
}

// reading shows that text is worked on, where it is not known how much of it is done, until the meter is hidden.
func (a *app) reading(what string) { a.meter().hear(progress.Event{What: what, Unit: "bytes of text"}) }

// size is about how many bytes files and folders have.
func size(paths []string) (n int64) {
	for _, path := range paths {
		_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil // reading it says what is wrong
			}
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
			return nil
		})
	}
	return n
}

// text is what a run reads, as tokens.
type text struct {
	tok          token.Tokenizer
	train, valid corpus.Stream // valid: nil for none
	perToken     float64       // bytes of a token of valid; 0: not known
	answers      *answers      // in place of the streams: examples whose answers are to be learned
}

// read reads a source, with the tokenizer tok, or with one that it learns (nil).
func (a *app) read(ctx context.Context, s source, tok token.Tokenizer, spec token.Spec) (t text, err error) {
	defer a.meter().hide()
	a.reading("reading " + s.Data)
	if s.Answer != "" {
		t.answers, t.tok, err = readAnswers(ctx, s, tok, spec)
		return t, err
	}
	if s.encoded() {
		return s.open(tok)
	}
	c, err := a.load(ctx, s, true)
	if err != nil {
		return t, err
	}
	if t.tok = tok; tok == nil {
		a.reading("learning the vocabulary")
		if t.tok, err = spec.Learn(ctx, corpus.Texts(c.Train), corpus.Texts(c.Train, c.Valid, c.Test)); err != nil {
			return t, err
		}
	}
	a.reading("encoding " + s.Data)
	if t.train, _, err = encode(t.tok, c.Train); err == nil && len(c.Valid) > 0 {
		t.valid, t.perToken, err = encode(t.tok, c.Valid)
	}
	return t, cmp.Or(err, ctx.Err())
}

// data cuts the text into the batches of a run.
func (t text) data(m lm.Config, settings train.Config) (train.Data, error) {
	if t.answers != nil {
		return t.answers.data(m, settings, t.tok)
	}
	d, err := train.Text(m, settings, t.tok, t.train, t.valid)
	d.BytesPerToken = t.perToken
	return d, err
}

// tokens is how many there are to learn from.
func (t text) tokens() int {
	if t.answers != nil {
		return t.answers.tokens()
	}
	return t.train.Len()
}

// part is the tokens to measure on.
func (t text) part(name string) (corpus.Stream, error) {
	switch name {
	case "train":
		return t.train, nil
	case "valid", "":
		return t.valid, nil
	}
	return nil, usage("a folder of tokens has the parts train and valid, and no %q", name)
}

// encoded reports whether a source is a folder of tokens.
func (s source) encoded() bool {
	if s.kind() != "" {
		return false
	}
	_, err := os.Stat(filepath.Join(s.Data, trainTokens))
	return err == nil
}

// open opens a folder of tokens. tok may be nil: the folder has its own.
func (s source) open(tok token.Tokenizer) (t text, err error) {
	if s.Valid != "" {
		return t, usage("--valid does not go with a folder of tokens: its %s is what is validated on", validTokens)
	}
	t.tok, err = lm.ReadTokenizer(s.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("%s has %s and no %s; put the tokenizer that made the tokens beside them",
			s.Data, trainTokens, lm.TokenizerFile)
	}
	if err != nil {
		return t, fmt.Errorf("the tokens in %s: %w", s.Data, err)
	}
	if tok != nil && tok.Size() != t.tok.Size() {
		return t, fmt.Errorf("the tokens in %s are of a vocabulary of %d, and the model's has %d: "+
			"they were made with another tokenizer", s.Data, t.tok.Size(), tok.Size())
	}
	whole, err := corpus.OpenTokens(filepath.Join(s.Data, trainTokens), t.tok.Size())
	if err != nil {
		return t, err
	}
	t.train = whole
	if valid, err := corpus.OpenTokens(filepath.Join(s.Data, validTokens), t.tok.Size()); err == nil {
		t.valid = valid
		return t, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	at := whole.Len() - min(whole.Len()/10, heldOut)
	if t.train, err = corpus.Section(whole, 0, at); err == nil {
		t.valid, err = corpus.Section(whole, at, whole.Len())
	}
	return t, err
}
