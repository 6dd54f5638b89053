package lm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/internal/mapped"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token"
)

// The files of a model directory.
const (
	ConfigFile    = "config.json"
	TokenizerFile = "tokenizer.json"
	WeightsFile   = safetensors.WeightsFile
	TrainingFile  = "training.json" // how the weights came about; free form
)

// maxJSON bounds the size in bytes of the JSON files of a model directory.
const maxJSON = 100 << 20

// Open reads a model directory: config.json, model.safetensors (or its parts and their index) and, if it is there,
// tokenizer.json. Weights are read one tensor at a time: opening takes little more memory than the model. Directories
// of models saved by Hugging Face's transformers, of the families that package format has, and of PyTorch's usual word
// language model, open as they are; so does a GGUF file. Every error names the file and, for weights, the tensor.
func Open(e *backend.Engine, dir string) (*Model, error) {
	return Options{}.Open(context.Background(), e, dir)
}

// Open is [Open] with options. When ctx ends, it returns after the tensor that it is at; the context's [progress.Func]
// hears how far it has come.
func (o Options) Open(ctx context.Context, e *backend.Engine, dir string) (*Model, error) {
	m, err := open(ctx, e, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", dir, printable.Brief(err))
	}
	return m, nil
}

func open(ctx context.Context, e *backend.Engine, dir string, o Options) (*Model, error) {
	if isFile(dir) {
		return openGGUF(ctx, e, dir, o)
	}
	f, c, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	tok, err := ReadTokenizer(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	rows := c.Vocab
	u, ts, err := findWeights(fitted(f, &c, tok), c, dir)
	if err != nil {
		return nil, err
	}
	defer ts.Close()
	m, err := assemble(ctx, e, c, tok, u, o)
	if err != nil {
		return nil, err
	}
	m.padding = rows - c.Vocab
	m.training, err = mapped.ReadFile(filepath.Join(dir, TrainingFile), maxJSON)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		m.ends, err = readEnds(dir, tok, c.Vocab)
		m.chat = readChat(dir)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// fitted is the layout of a model whose tokenizer has fewer tokens than its vocabulary has rows: the rows beyond, which
// stand for no token, are left in the file, so that no text, no choice and no average ever has them.
func fitted(l format.Layout, c *Config, tok token.Tokenizer) format.Layout {
	if tok == nil || tok.Size() >= c.Vocab {
		return l
	}
	l = format.Padded(l, c.Vocab)
	c.Vocab = tok.Size()
	return l
}

// Padding returns how many rows of the embedding in the model's file stand for no token of its tokenizer, and were left
// there. Some are usual, since sizes are rounded up; many may mean that the tokenizer is another model's.
func (m *Model) Padding() int { return m.padding }

// lacksOnlySpecial reports whether the tokens that a vocabulary of V rows has no row for are special tokens of the
// tokenizer, as that for pictures is in a model of text. Such a token is an error where it is used.
func lacksOnlySpecial(tok token.Tokenizer, V int) bool {
	special, ok := tok.(interface{ Special() []token.ID })
	if !ok {
		return false
	}
	ids := special.Special()
	for id := V; id < tok.Size(); id++ {
		if !slices.Contains(ids, token.ID(id)) {
			return false
		}
	}
	return tok.Size() > V
}

// isFile says whether a model is one file, which is then a GGUF file, and not a folder.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// CheckWeights says what keeps a model directory's weights from being read, if anything, without reading their
// numbers.
func CheckWeights(dir string) error {
	if isFile(dir) {
		f, layout, c, err := findGGUF(dir)
		if err != nil {
			return err
		}
		_, err = format.Unpack(layout, c, f)
		return errors.Join(err, f.Close())
	}
	f, c, err := readConfig(dir)
	if err != nil {
		return err
	}
	_, ts, err := findWeights(f, c, dir)
	if err != nil {
		return err
	}
	return ts.Close()
}

// findWeights opens the file or the files of a model directory's weights, and finds the parameters in them.
func findWeights(f format.Layout, c Config, dir string) (*format.Unpacker, *safetensors.File, error) {
	ts, err := safetensors.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	u, err := format.Unpack(f, c, ts)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", WeightsFile, err), ts.Close())
	}
	return u, ts, nil
}

// ReadConfig reads the config.json of a model directory, or the settings of a GGUF file.
func ReadConfig(dir string) (Config, error) {
	if isFile(dir) {
		f, _, c, err := findGGUF(dir)
		if err != nil {
			return c, err
		}
		return c, f.Close()
	}
	_, c, err := readConfig(dir)
	return c, err
}

func readConfig(dir string) (f format.Format, c Config, err error) {
	data, err := mapped.ReadFile(filepath.Join(dir, ConfigFile), maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return nil, c, fmt.Errorf("there is no such directory, nor a file")
		}
		if there := safetensors.Others(dir); there != "" {
			return nil, c, fmt.Errorf("it has no %s, so it is not a model directory; it has %s", ConfigFile, there)
		}
		return nil, c, fmt.Errorf("it has no %s, so it is not a model directory", ConfigFile)
	}
	if err != nil {
		return nil, c, err
	}
	if f, c, err = format.Read(data); err != nil {
		return nil, c, fmt.Errorf("%s: %s", ConfigFile, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return f, c, nil
}

// ReadTokenizer reads the tokenizer of a model directory, as [token.ReadFolder] does, or of a GGUF file. The error is
// fs.ErrNotExist when there is none.
func ReadTokenizer(dir string) (token.Tokenizer, error) {
	if isFile(dir) {
		f, err := gguf.Open(dir)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		tok, err := ggufTokenizer(f)
		if err == nil && tok == nil {
			err = fs.ErrNotExist
		}
		return tok, err
	}
	return token.ReadFolder(os.DirFS(dir))
}

// Save writes the model as a directory. Each file is replaced as a whole or not at all.
func (m *Model) Save(dir string) error {
	ws, err := m.Weights()
	if err != nil {
		return fmt.Errorf("save model %s: %w", dir, err)
	}
	if err := WriteDir(dir, m.config, m.tokenizer, ws, m.training); err != nil {
		return err
	}
	if err := errors.Join(WriteEnds(dir, m.ends), m.WriteChat(dir)); err != nil {
		return fmt.Errorf("save model %s: %w", dir, err)
	}
	return nil
}

// WriteDir writes a model directory. tok and training (JSON) may be nil.
func WriteDir(dir string, c Config, tok token.Tokenizer, weights map[string]Array, training json.RawMessage) error {
	if err := writeDir(dir, c, tok, weights, training); err != nil {
		return fmt.Errorf("save model %s: %w", dir, err)
	}
	return nil
}

func writeDir(dir string, c Config, tok token.Tokenizer, weights map[string]Array, training json.RawMessage) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, config, err := format.Write(c)
	if err != nil {
		return err
	}
	if err := whole.Write(filepath.Join(dir, ConfigFile), config); err != nil {
		return err
	}
	if tok != nil {
		data, err := token.Marshal(tok)
		if err != nil {
			return err
		}
		if err := whole.Write(filepath.Join(dir, TokenizerFile), data); err != nil {
			return err
		}
	}
	if training != nil {
		if err := whole.Write(filepath.Join(dir, TrainingFile), training); err != nil {
			return err
		}
	}
	ts := map[string]safetensors.Tensor{}
	get := func(param string) []float32 { return weights[param].Data }
	format.Pack(f, c, get, func(name string, dims []int, data []float32) {
		ts[name] = safetensors.Tensor{Dims: dims, Data: data}
	})
	return safetensors.WriteFile(filepath.Join(dir, WeightsFile), ts)
}

// Training is how the weights came about: the contents of training.json, or nil.
func (m *Model) Training() json.RawMessage { return m.training }
