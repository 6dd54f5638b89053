package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/token"
)

// The files of a model directory.
const (
	ConfigFile    = "config.json"
	TokenizerFile = "tokenizer.json"
	WeightsFile   = "model.safetensors"
	TrainingFile  = "training.json" // how the weights came about; free form
)

// Open reads a model directory: config.json, model.safetensors and, if it is there, tokenizer.json. Directories of
// GPT-2 models saved by Hugging Face's transformers, and of PyTorch's usual word language model, open as they are.
// Every error names the file and, for weights, the tensor.
func Open(e *backend.Engine, dir string) (*Model, error) {
	m, err := open(e, dir)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", dir, err)
	}
	return m, nil
}

func open(e *backend.Engine, dir string) (*Model, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	tok, err := ReadTokenizer(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ts, err := safetensors.ReadFile(filepath.Join(dir, WeightsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it has no %s; a model directory holds %s, %s and %s", WeightsFile, ConfigFile, WeightsFile, TokenizerFile)
	}
	if err != nil {
		return nil, err
	}
	ws, err := adopt(c, ts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	m, err := FromWeights(e, c, tok, ws)
	if err != nil {
		return nil, err
	}
	m.training, err = os.ReadFile(filepath.Join(dir, TrainingFile))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		m.ends, err = readEnds(dir, tok, c.Vocab)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// ReadConfig reads the config.json of a model directory.
func ReadConfig(dir string) (Config, error) {
	var c Config
	data, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return c, fmt.Errorf("there is no such directory")
		}
		return c, fmt.Errorf("it has no %s, so it is not a model directory", ConfigFile)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s: %s", ConfigFile, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return c, nil
}

// ReadTokenizer reads the tokenizer.json of a model directory. The error is fs.ErrNotExist when there is none.
func ReadTokenizer(dir string) (token.Tokenizer, error) {
	data, err := os.ReadFile(filepath.Join(dir, TokenizerFile))
	if err != nil {
		return nil, err
	}
	return token.Unmarshal(data)
}

// adopt finds each parameter of c among the tensors of a file, under the names that different programs save it by.
func adopt(c Config, ts map[string]safetensors.Tensor) (map[string]Array, error) {
	named := make(map[string]safetensors.Tensor, len(ts))
	for n, t := range ts {
		named[ourName(c, n)] = t
	}
	ws := map[string]Array{}
	for _, p := range c.Params() {
		t, ok := named[p.Name]
		if !ok {
			return nil, fmt.Errorf("tensor %q is missing; %s asks for it with shape %v", p.Name, ConfigFile, p.Dims)
		}
		if !slices.Equal(t.Dims, p.Dims) {
			return nil, fmt.Errorf("tensor %q has shape %v, but %s asks for %v", p.Name, t.Dims, ConfigFile, p.Dims)
		}
		ws[p.Name] = Array(t)
		delete(named, p.Name)
	}
	var extra []string
	for n := range named {
		if !harmless(c, n) {
			extra = append(extra, n)
		}
	}
	if len(extra) > 0 {
		sort.Strings(extra)
		return nil, fmt.Errorf("tensor %q belongs to no part of the model that %s describes (%d such tensors)", extra[0], ConfigFile, len(extra))
	}
	return ws, nil
}

// ourName maps the names that other programs use: GPT-2's with the prefix of the class that holds it; the LSTM's with
// the attribute names of PyTorch's word language model examples.
func ourName(c Config, name string) string {
	if c.Arch == Transformer {
		return strings.TrimPrefix(name, "transformer.")
	}
	for _, alias := range [][2]string{{"encoder.", "embed."}, {"embedding.", "embed."}, {"rnn.", "lstm."}, {"decoder.", "linear."}, {"fc.", "linear."}} {
		if rest, ok := strings.CutPrefix(name, alias[0]); ok {
			return alias[1] + rest
		}
	}
	return name
}

// harmless tells tensors that change nothing: GPT-2's causal masks, and copies of a tied output matrix.
func harmless(c Config, name string) bool {
	if c.Arch == Transformer {
		return strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") || (c.Tied && name == "lm_head.weight")
	}
	return c.Tied && name == "linear.weight"
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
	if err := writeEnds(dir, m.ends); err != nil {
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
	conf, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := whole.Write(filepath.Join(dir, ConfigFile), append(conf, '\n')); err != nil {
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
	return safetensors.WriteFile(filepath.Join(dir, WeightsFile), tensorsOf(weights))
}

// Training is how the weights came about: the contents of training.json, or nil.
func (m *Model) Training() json.RawMessage { return m.training }
