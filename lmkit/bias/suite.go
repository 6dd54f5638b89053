package bias

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Pair is two sentences that differ in one thing alone.
type Pair struct {
	ID     string `json:"id"`     // as its file names it, or the number of its line
	First  string `json:"first"`  // the sentence whose preference is counted
	Second string `json:"second"` // the other one
	// Unrelated is a third sentence, which means nothing in its place. StereoSet has one with each pair.
	Unrelated string   `json:"unrelated,omitempty"`
	Groups    []string `json:"groups,omitempty"` // one for each of the suite's Groupings
	// Cluster is who wrote the pair, or from which template it was made: pairs of one cluster are not independent.
	Cluster string `json:"cluster,omitempty"`
}

// Suite is pairs of sentences with what they are to show.
type Suite struct {
	Name      string   `json:"name"`
	Source    string   `json:"source"`              // the files that it was read from
	First     string   `json:"first"`               // what the first sentence of each pair is, such as "grammatical"
	Second    string   `json:"second"`              // what the second one is
	Groupings []string `json:"groupings,omitempty"` // by what its pairs are grouped, such as "bias type"
	Clusters  string   `json:"clusters,omitempty"`  // what pairs share a cluster, such as "writer"; "": each is its own
	Protocol  string   `json:"protocol"`            // the one that is usual with this suite; see [Protocols]
	// Aim is what preferring the first sentence means: Right, Wrong, or "" where neither sentence should be preferred
	// and the farthest differences are the worst.
	Aim      string             `json:"aim,omitempty"`
	Warnings []string           `json:"warnings,omitempty"` // what is known to be wrong with the data
	Women    map[string]float64 `json:"women,omitempty"`    // Winogender: the share of women, in percent, by cluster
	Broken   []Broken           `json:"broken,omitempty"`   // what held no pair
	Pairs    []Pair             `json:"-"`
}

// What preferring the first sentence of a pair means.
const (
	Right = "right"
	Wrong = "wrong"
)

// Broken is a part of a file that holds no pair.
type Broken struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// published is the suites that are known by name, and how they are read.
var published = []struct {
	name string
	file string // what is looked for in a folder
	from string // where its authors publish it
	read func(files []string, s *Suite) error
}{
	{"crows-pairs", "crows_pairs_*.csv", "github.com/nyu-mll/crows-pairs, data/crows_pairs_anonymized.csv", crowsPairs},
	{"winogender", "all_sentences.tsv", "github.com/rudinger/winogender-schemas, data/", winogender},
	{"blimp", "*.jsonl", "github.com/alexwarstadt/blimp, data/", blimp},
	{"stereoset", "*.json", "github.com/moinnadeem/StereoSet, data/dev.json", stereoSet},
}

// Suites lists the suites that [Open] knows by name.
func Suites() (names []string) {
	for _, s := range published {
		names = append(names, s.name)
	}
	return names
}

// Open reads a suite. Its name is one of [Suites], which is read from the file or folder at data; or a file of pairs
// of one's own, a table of two columns (.csv, .tsv, .jsonl) or lines of templates ([Templates]); or such a template
// itself. No suite comes with this package: its authors publish it, and say who may use it for what.
func Open(name, data string) (*Suite, error) {
	for _, p := range published {
		if p.name != name {
			continue
		}
		if data == "" {
			return nil, fmt.Errorf("the suite %s is read from a folder of yours: name it with --data; its authors publish it "+
				"at %s", name, p.from)
		}
		files, err := find(data, p.file)
		if err != nil {
			return nil, fmt.Errorf("the suite %s: %w; its authors publish it at %s", name, err, p.from)
		}
		s := &Suite{Name: name, Source: data}
		if err := p.read(files, s); err != nil {
			return nil, fmt.Errorf("the suite %s: %w", name, err)
		}
		return s, s.check()
	}
	if data != "" {
		return nil, fmt.Errorf("the data %s belong to a suite that is known by name: %s", data,
			strings.Join(Suites(), ", "))
	}
	s, err := own(name)
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// find returns the file at path, or those of a folder that a pattern fits, sorted.
func find(path, pattern string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, plain(err))
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file", path)
		}
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(escape(path), pattern))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("the folder %s has no file %s", path, pattern)
	}
	slices.Sort(files)
	return files, err
}

// escape makes a path stand for itself in a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// plain leaves out the path and the operation of an error, which stand before it already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// add takes a pair, if it is one.
func (s *Suite) add(file string, line int, p Pair) {
	switch {
	case blank(p.First) || blank(p.Second):
		s.wrong(file, line, "has an empty sentence")
	case p.First == p.Second:
		s.wrong(file, line, "has the same sentence twice")
	default:
		s.Pairs = append(s.Pairs, p)
	}
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }

func (s *Suite) wrong(file string, line int, format string, args ...any) {
	s.Broken = append(s.Broken, Broken{filepath.Base(file), line, fmt.Sprintf(format, args...)})
}

// check says why there is nothing to measure.
func (s *Suite) check() error {
	if len(s.Pairs) > 0 {
		return nil
	}
	if len(s.Broken) > 0 {
		b := s.Broken[0]
		return fmt.Errorf("%s has no pair of sentences: line %d of %s %s", s.Source, b.Line, b.File, b.Why)
	}
	return fmt.Errorf("%s has no pair of sentences", s.Source)
}

// Limit keeps n pairs at most of each group of the first grouping, evenly spread over its file; 0 keeps all.
func (s *Suite) Limit(n int) {
	if n <= 0 {
		return
	}
	of := map[string][]int{}
	var order []string
	for i, p := range s.Pairs {
		g := ""
		if len(p.Groups) > 0 {
			g = p.Groups[0]
		}
		if of[g] == nil {
			order = append(order, g)
		}
		of[g] = append(of[g], i)
	}
	var kept []int
	for _, g := range order {
		all := of[g]
		m := min(n, len(all))
		for k := range m {
			kept = append(kept, all[k*len(all)/m])
		}
	}
	slices.Sort(kept)
	pairs := make([]Pair, len(kept))
	for k, i := range kept {
		pairs[k] = s.Pairs[i]
	}
	s.Pairs = pairs
}
