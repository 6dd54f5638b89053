package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// The built-in corpora are the same for everyone: their seed is no setting.
const corpusSeed = 1

// source is the text that a model learns from or is measured on. A run keeps it, so that it can be resumed and
// evaluated by the name of its folder alone.
type source struct {
	Data           string `json:"data"`            // a file, a folder, or the name of a corpus
	Valid          string `json:"valid,omitempty"` // a file or folder of its own to validate on
	corpus.PairsIn        // where the answers stand that are to be learned; none: all of the text is
}

const dataHelp = "a text file, a folder of them or of tokens (lmkit encode), wikitext-2[:FOLDER], " +
	"grammar[:SENTENCES], " +
	"opticks, or plant:TASK[:ITEMS]"

// absolute makes the paths good from any folder.
func (s source) absolute() (source, error) {
	var err error
	if kind, rest, has := strings.Cut(s.Data, ":"); kind == "wikitext-2" && has {
		rest, err = filepath.Abs(rest)
		s.Data = kind + ":" + rest
	} else if s.kind() == "" {
		s.Data, err = filepath.Abs(s.Data)
	}
	if err == nil && s.Valid != "" {
		s.Valid, err = filepath.Abs(s.Valid)
	}
	return s, err
}

// kind is the name of a corpus, or "" for files.
func (s source) kind() string {
	switch kind, _, _ := strings.Cut(s.Data, ":"); kind {
	case "wikitext-2", "grammar", "opticks", "plant":
		return kind
	}
	return ""
}

// name is a short word for the text, to name a folder after.
func (s source) name() string {
	if kind := s.kind(); kind != "" {
		return strings.Join(strings.Split(strings.TrimPrefix(s.Data, "plant:"), ":")[:1], "")
	}
	base := filepath.Base(s.Data)
	if name := strings.TrimSuffix(base, filepath.Ext(base)); name != "input" && name != "" {
		return name
	}
	return filepath.Base(filepath.Dir(s.Data))
}

// load reads the text. With cut set it is to train on: of files the last tenth is then held out for validation, unless
// another text is named.
func (a *app) load(ctx context.Context, s source, cut bool) (*corpus.Corpus, error) {
	c, err := a.loadTrain(ctx, s, cut && s.Valid == "")
	if err == nil && s.Valid != "" {
		c.Valid, err = corpus.Files(s.Valid)
	}
	if err != nil {
		return nil, err
	}
	if len(c.Train) == 0 && cut {
		return nil, fmt.Errorf("%s has no text to train on: name a file with --data, and another with --valid", s.Data)
	}
	return c, ctx.Err()
}

func (a *app) loadTrain(ctx context.Context, s source, cut bool) (*corpus.Corpus, error) {
	kind, rest, has := strings.Cut(s.Data, ":")
	switch s.kind() {
	case "wikitext-2":
		m := a.meter()
		defer m.hide()
		return corpus.WikiText2(ctx, corpus.WikiTextConfig{Folder: rest, Progress: m.hear})
	case "opticks":
		return corpus.Opticks()
	case "grammar":
		n, err := amount(kind, rest, has, 10000)
		if err != nil {
			return nil, err
		}
		return corpus.Grammar(corpusSeed, n)
	case "plant":
		name, rest, has := strings.Cut(rest, ":")
		n, err := amount(kind+":"+name, rest, has, 8000)
		if err != nil {
			return nil, err
		}
		task, err := plant.New(plant.Config{Task: name, Unknown: 0.1})
		if err != nil {
			return nil, usage("%w", err)
		}
		return task.Corpus(corpusSeed, n), nil
	}
	docs, err := corpus.Files(s.Data)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(s.Data, "./\\") {
		return nil, fmt.Errorf("%w; give %s", err, dataHelp)
	}
	if err != nil {
		return nil, err
	}
	if !cut {
		return &corpus.Corpus{Name: s.Data, Train: docs}, nil
	}
	return corpus.Cut(s.Data, docs, corpus.Split{Valid: 0.1})
}

// amount reads the number after a corpus's name.
func amount(what, text string, given bool, otherwise int) (int, error) {
	if !given {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10 || n > 1_000_000 {
		return 0, usage("%s:%s: the size must be a number from 10 to 1000000", what, text)
	}
	return n, nil
}

// tokenizerSpec reads --tokenizer and the flags of words.
func tokenizerSpec(text string, words token.WordConfig) (token.Spec, error) {
	s, err := token.ParseSpec(text)
	if s.Words = words; err == nil {
		err = s.Validate()
	}
	if err != nil {
		return s, usage("--tokenizer %s: %w", text, err)
	}
	return s, nil
}

// encode turns text into tokens, and says how many bytes a token has.
func encode(tok token.Tokenizer, docs []corpus.Document) (corpus.Memory, float64, error) {
	stream, err := corpus.Encode(tok, corpus.Separate(docs, token.Separator(tok)), corpus.Ends{})
	if err != nil {
		return nil, 0, err
	}
	bytes := 0
	for _, d := range docs {
		bytes += len(d.Text)
	}
	return stream, float64(bytes) / float64(max(1, len(stream))), nil
}

// plain drops the path and the system call from an error of the os package: the message around it names the path.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// kept is the source that the run in a folder reads. The error is fs.ErrNotExist when the folder does not say.
func kept(dir string) (s source, err error) {
	run, err := train.Read(dir)
	if err == nil && run.Source == nil {
		err = fmt.Errorf("%s has no %s: %w", dir, train.SourceFile, fs.ErrNotExist)
	}
	if err != nil {
		return s, err
	}
	if err := strict.Decode(run.Source, &s); err != nil {
		return s, fmt.Errorf("%s: %w; say with --data what the run reads", filepath.Join(dir, train.SourceFile), err)
	}
	return s, nil
}
