package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"lmkit.internal/lmkit/internal/strict"
)

// ErrNone says that a model has no chat template.
var ErrNone = errors.New("the model has no chat template, so it was hardly trained on conversations: " +
	"give it a text to go on from")

// SettingsFile is the file of a folder that says which tokens begin and end a text, and in older folders holds the
// template too.
const SettingsFile = "tokenizer_config.json"

// maxFile bounds the files of a folder that are read here.
const maxFile = 64 << 20

// ReadFolder finds the chat template of a model's folder in the layout of Hugging Face: the file chat_template.jinja,
// or the one that tokenizer_config.json or chat_template.json holds. Without one it returns ErrNone.
func ReadFolder(folder fs.FS) (*Template, error) {
	var config struct {
		Template json.RawMessage `json:"chat_template"`
	}
	settings, err := ReadSettings(folder)
	if err != nil {
		return nil, err
	}
	if err := readJSON(folder, SettingsFile, &config); err != nil {
		return nil, err
	}
	if source, err := readFile(folder, TemplateFile); err != nil {
		return nil, err
	} else if source != nil {
		return New(string(source), settings)
	}
	if config.Template == nil {
		if err := readJSON(folder, "chat_template.json", &config); err != nil {
			return nil, err
		}
	}
	if config.Template == nil || string(config.Template) == "null" {
		return nil, ErrNone
	}
	source, err := defaultTemplate(config.Template)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SettingsFile, err)
	}
	return New(source, settings)
}

// ReadSettings reads the texts of the tokens that begin and end a text from the tokenizer_config.json of a model's
// folder. Without that file, or where it does not name them, they are empty.
func ReadSettings(folder fs.FS) (Settings, error) {
	var config struct {
		BOS tokenText `json:"bos_token"`
		EOS tokenText `json:"eos_token"`
	}
	err := readJSON(folder, SettingsFile, &config)
	return Settings{BOS: string(config.BOS), EOS: string(config.EOS)}, err
}

// TemplateFile is the file of a model's folder that holds its chat template.
const TemplateFile = "chat_template.jinja"

// Files are what ReadFolder reads the same template from, by their names.
func (t *Template) Files() (map[string][]byte, error) {
	tokens := map[string]string{}
	for key, text := range map[string]string{"bos_token": t.settings.BOS, "eos_token": t.settings.EOS} {
		if text != "" {
			tokens[key] = text
		}
	}
	var settings bytes.Buffer
	enc := json.NewEncoder(&settings)
	enc.SetEscapeHTML(false)
	err := enc.Encode(tokens)
	return map[string][]byte{TemplateFile: []byte(t.source), SettingsFile: settings.Bytes()}, err
}

// defaultTemplate reads both forms of the key: a template, or a list of named ones.
func defaultTemplate(value json.RawMessage) (string, error) {
	var source string
	if json.Unmarshal(value, &source) == nil {
		return source, nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(value, &named); err != nil {
		return "", errors.New("chat_template is neither a text nor a list of named texts")
	}
	for _, t := range named {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", errors.New("chat_template lists no template of the name default")
}

// tokenText reads both forms of a token: its text, or an object with its content.
type tokenText string

// UnmarshalJSON reads the token.
func (t *tokenText) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*t = tokenText(text)
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return errors.New("a token is a text, or an object with its content")
	}
	*t = tokenText(object.Content)
	return nil
}

func readJSON(folder fs.FS, name string, v any) error {
	data, err := readFile(folder, name)
	if err != nil || data == nil {
		return err
	}
	err = strict.Once(data)
	if err == nil {
		err = strict.Decode(data, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readFile returns the contents of a file, or nil where there is none.
func readFile(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(folder, name) // before it is opened: a pipe would be waited for
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		return nil, err
	}
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return data, err
}
