package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"lmkit.internal/lmkit/internal/mapped"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// GenerationFile is the file of a model directory that says how its texts are generated. Of it the end tokens are
// read.
const GenerationFile = "generation_config.json"

// Ends are the tokens with which a text of the model, or its turn in a conversation, ends, in ascending order: those
// that its files name (generation_config.json, config.json and tokenizer_config.json, or the settings of a GGUF file),
// and the tokenizer's special tokens that are known to mean it. It is empty for a model without any.
func (m *Model) Ends() []token.ID { return m.ends }

// readEnds finds the end tokens of a model directory. A token outside the vocabulary, such as GPT-2's in a smaller
// model, cannot come, and is left out.
func readEnds(dir string, tok token.Tokenizer, vocab int) ([]token.ID, error) {
	ends := token.Ends(tok)
	for _, name := range []string{ConfigFile, GenerationFile} {
		data, err := mapped.ReadFile(filepath.Join(dir, name), maxJSON)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		more, err := parseEnds(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ends = append(ends, more...)
	}
	settings, err := chat.ReadSettings(os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	if settings.EOS != "" && tok != nil {
		if id, ok := tok.Lookup(settings.EOS); ok {
			ends = append(ends, id)
		}
	}
	return sortEnds(ends, vocab), nil
}

// sortEnds leaves out what is outside the vocabulary, and puts the rest in ascending order, each once.
func sortEnds(ends []token.ID, vocab int) []token.ID {
	ends = slices.DeleteFunc(ends, func(id token.ID) bool { return id < 0 || int(id) >= vocab })
	slices.Sort(ends)
	return slices.Compact(ends)
}

// parseEnds reads eos_token_id: a number, a list of numbers, or nothing.
func parseEnds(config []byte) ([]token.ID, error) {
	var file struct {
		End json.RawMessage `json:"eos_token_id"`
	}
	if err := strict.Once(config); err != nil {
		return nil, err
	}
	if err := strict.Decode(config, &file); err != nil {
		return nil, err
	}
	var one *token.ID
	var several []token.ID
	switch {
	case file.End == nil:
		return nil, nil
	case json.Unmarshal(file.End, &several) == nil:
		return several, nil
	case json.Unmarshal(file.End, &one) == nil:
		return []token.ID{*one}, nil
	}
	return nil, errors.New("eos_token_id is neither a token's number nor a list of them")
}

// WriteEnds keeps the end tokens beside a model that is saved: config.json has no room for them in every architecture.
func WriteEnds(dir string, ends []token.ID) error {
	if len(ends) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"eos_token_id": ends})
	if err != nil {
		return err
	}
	return whole.Write(filepath.Join(dir, GenerationFile), append(data, '\n'))
}
