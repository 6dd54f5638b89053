package hub

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/safetensors"
)

// Model is a model that is at hand under a name.
type Model struct {
	Name    string `json:"name"`              // what commands take
	Path    string `json:"path"`              // its folder or file
	Family  string `json:"family,omitempty"`  // what its architecture is called: "llama", "gpt2"
	Bytes   int64  `json:"bytes"`             // of its weights
	Numbers int    `json:"numbers,omitempty"` // of its weights
	Kind    string `json:"kind,omitempty"`    // how most of them are stored: "Q4_1", "BF16"
	Licence string `json:"licence,omitempty"` // as the model's maker names it
}

// List returns what is at hand: what lmkit has fetched, and the whole models in the cache of the Hugging Face tools.
// What cannot be read is left out.
func List() []Model {
	var found []Model
	if s, err := models(); err == nil {
		if file, err := s.File(carrier.Folder); file != "" && err == nil {
			found = append(found, describeFile(SmolLM2, file))
		}
	}
	root, err := cacheRoot()
	if err != nil {
		return found
	}
	folders, _ := filepath.Glob(filepath.Join(root, "models--*--*"))
	for _, folder := range folders {
		found = append(found, inFolder(folder)...)
	}
	return found
}

// inFolder returns the models of one folder of the cache, at the revision main or else at any that is whole.
func inFolder(folder string) (found []Model) {
	owner, name, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), "models--"), "--")
	r := repo{owner: owner, name: name, revision: "main"}
	snapshots, _ := filepath.Glob(filepath.Join(folder, "snapshots", "*"))
	if commit, err := os.ReadFile(filepath.Join(folder, "refs", "main")); err == nil {
		main := filepath.Join(folder, "snapshots", strings.TrimSpace(string(commit)))
		slices.SortStableFunc(snapshots, func(a, b string) int {
			return map[bool]int{true: -1}[a == main] - map[bool]int{true: -1}[b == main]
		})
	}
	for _, snapshot := range snapshots {
		if r.complete(snapshot) != "" {
			return []Model{describeFolder("hf:"+r.id(), snapshot)}
		}
		files, _ := filepath.Glob(filepath.Join(snapshot, "*.gguf"))
		for _, file := range files {
			found = append(found, describeFile("hf:"+r.id()+"/"+filepath.Base(file), file))
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// tensors is what both formats' files are.
type tensors interface {
	Names() []string
	Shape(name string) (dims []int, kind number.Kind, ok bool)
}

// count fills in how many numbers a model has, and how most of them are stored.
func (m *Model) count(ts tensors) {
	by := map[number.Kind]int{}
	for _, name := range ts.Names() {
		dims, kind, _ := ts.Shape(name)
		n := 1
		for _, d := range dims {
			n *= d
		}
		by[kind] += n
		m.Numbers += n
	}
	most := 0
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		if by[kind] > most {
			m.Kind, most = string(kind), by[kind]
		}
	}
}

func describeFile(name, file string) Model {
	m := Model{Name: name, Path: file, Bytes: size(file)}
	f, err := gguf.Open(file)
	if err != nil {
		return m
	}
	defer f.Close()
	m.Family, _, _ = gguf.Get[string](f, "general.architecture")
	m.Licence, _, _ = gguf.Get[string](f, "general.license")
	m.count(f)
	return m
}

var licence = regexp.MustCompile(`(?m)\A---\n(?:.*\n)*?license: *['"]?([A-Za-z0-9.+-]+)`)

func describeFolder(name, folder string) Model {
	m := Model{Name: name, Path: folder}
	weights, _ := filepath.Glob(filepath.Join(folder, "*.safetensors"))
	for _, file := range weights {
		m.Bytes += size(file)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "config.json")); err == nil {
		var config struct {
			Type string `json:"model_type"`
		}
		_ = json.Unmarshal(text, &config) // opening the model says what is wrong with it
		m.Family = config.Type
	}
	if text, err := os.ReadFile(filepath.Join(folder, "README.md")); err == nil {
		if found := licence.FindSubmatch(text[:min(len(text), 1<<14)]); found != nil {
			m.Licence = string(found[1])
		}
	}
	if f, err := safetensors.Open(folder); err == nil {
		m.count(f)
		_ = f.Close()
	}
	return m
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}
