package token

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"syscall"
)

// ReadFolder reads the tokenizer of a model's folder in the layout of Hugging Face: tokenizer.json, or in older
// folders vocab.json and merges.txt, GPT-2's files, with the special tokens that tokenizer_config.json,
// special_tokens_map.json and added_tokens.json name. The error is fs.ErrNotExist when there is none of them.
func ReadFolder(folder fs.FS) (Tokenizer, error) {
	data, err := readRegular(folder, "tokenizer.json")
	if err == nil {
		return Unmarshal(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	vocab, err := readRegular(folder, "vocab.json")
	if err != nil {
		return nil, err
	}
	merges, err := readRegular(folder, "merges.txt")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is vocab.json, but not merges.txt, the other half of GPT-2's tokenizer: " +
			"put it there, or a tokenizer.json")
	}
	if err != nil {
		return nil, err
	}
	var marks folderMarks
	if err := marks.read(folder); err != nil {
		return nil, err
	}
	b, err := gpt2Of(namedFile{"vocab.json", vocab}, namedFile{"merges.txt", merges}, marks.added)
	if err != nil {
		return nil, err
	}
	if marks.begin {
		id, ok := b.Lookup(marks.bos)
		if !ok {
			return nil, fmt.Errorf("tokenizer_config.json: add_bos_token is set, but bos_token %.80q is not in the vocabulary",
				marks.bos)
		}
		b.surround([]ID{id}, nil)
	}
	return b, nil
}

// readRegular returns the contents of a regular file: a pipe or a device could be waited for without end.
func readRegular(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%s is a link that leads back to itself: name the file that it should lead to", name)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file but a folder, a pipe or a device", name)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that such a file may have", name, info.Size(), maxFile)
	}
	return fs.ReadFile(folder, name)
}

// maxFile bounds the size in bytes of a file of a tokenizer.
const maxFile = 1 << 29

// folderMarks are the special tokens beside GPT-2's files.
type folderMarks struct {
	added []addedToken // those without an ID, -1, are in the vocabulary, or nowhere
	bos   string
	begin bool // each text begins with bos
}

// read finds the special tokens in the files that name them. The first to name one decides.
func (m *folderMarks) read(folder fs.FS) error {
	var config struct {
		Decoder map[string]addedEntry `json:"added_tokens_decoder"`
		Prefix  bool                  `json:"add_prefix_space"`
		Begin   bool                  `json:"add_bos_token"`
		markNames
	}
	if err := readOptional(folder, "tokenizer_config.json", &config); err != nil {
		return err
	}
	if config.Prefix {
		return errors.New("tokenizer_config.json: add_prefix_space true is not supported: lmkit reads false")
	}
	for number, entry := range config.Decoder {
		id, err := strconv.ParseInt(number, 10, 32)
		if err != nil || id < 0 {
			return fmt.Errorf("tokenizer_config.json: added_tokens_decoder: %.40q is no token ID", number)
		}
		entry.ID = ID(id)
		m.added = append(m.added, entry.token())
	}
	var others idsOf
	if err := readOptional(folder, "added_tokens.json", &others); err != nil {
		return err
	}
	for text, id := range others {
		m.add(addedToken{id: id, content: text})
	}
	slices.SortFunc(m.added, func(a, b addedToken) int { return cmp.Compare(a.id, b.id) })
	var names markNames
	if err := readOptional(folder, "special_tokens_map.json", &names); err != nil {
		return err
	}
	for _, text := range slices.Concat(config.texts(), names.texts()) {
		m.add(addedToken{id: -1, content: text, special: true, normalized: true})
	}
	m.bos, m.begin = cmp.Or(config.BOS.Content, names.BOS.Content), config.Begin
	return nil
}

// add adds a token that has not been named yet.
func (m *folderMarks) add(t addedToken) {
	if t.content != "" && !slices.ContainsFunc(m.added, func(a addedToken) bool { return a.content == t.content }) {
		m.added = append(m.added, t)
	}
}

// markNames are the special tokens that two of the files name.
type markNames struct {
	BOS     markName `json:"bos_token"`
	EOS     markName `json:"eos_token"`
	Unknown markName `json:"unk_token"`
	Padding markName `json:"pad_token"`
}

func (n markNames) texts() []string {
	return []string{n.BOS.Content, n.EOS.Content, n.Unknown.Content, n.Padding.Content}
}

// markName is a token's text, or an object with it.
type markName struct{ Content string }

// UnmarshalJSON reads both forms.
func (n *markName) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &n.Content) == nil {
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(data, &object) != nil {
		return errors.New("a token is a text, or an object with its content")
	}
	n.Content = object.Content
	return nil
}

// readOptional reads a JSON file, if there is one.
func readOptional(folder fs.FS, name string, v any) error {
	data, err := readRegular(folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unmarshalOnce(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
