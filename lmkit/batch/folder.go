package batch

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/whole"
)

// The files of a folder of results.
const (
	ManifestFile = "manifest.json"
	partFile     = "part-%05d.jsonl"     // results, PartRows rows of the file a part; or .parquet
	partFiles    = "part-*[lt]"          // all of these
	failedFile   = "failures-%05d.jsonl" // failures of the same rows, where there are any
	journalFile  = "unfinished.jsonl"    // what is there of the part that is being made
)

// PartRows is how many rows of a file of items become one part.
const PartRows = 256

// Manifest says what a folder of results holds, and what made it. Two runs with manifests that differ in more than
// what was done are never mixed in one folder.
type Manifest struct {
	Schema    int           `json:"schema"`              // of the folder: 1
	Model     string        `json:"model"`               // as it was named
	ModelHash string        `json:"model_hash"`          // see lm.Model.Hash
	Weights   string        `json:"weights"`             // what the numbers are held as
	Precision string        `json:"precision,omitempty"` // of products with weights, where it is not float32
	Engine    string        `json:"engine"`              // what computed
	Request   lmkit.Request `json:"request"`             // what all items have in common
	Labels    []string      `json:"labels,omitempty"`
	Score     bool          `json:"score,omitempty"`
	Suite     *bias.Suite   `json:"suite,omitempty"`    // without its pairs
	Protocol  string        `json:"protocol,omitempty"` // of the suite
	Parquet   bool          `json:"parquet,omitempty"`  // whether parts are Parquet
	Source    Source        `json:"source"`             // the file, its folders left out
	SHA256    string        `json:"sha256"`             // of the file
	Rows      int           `json:"rows"`               // of the file, broken ones among them
	PartRows  int           `json:"part_rows"`          // of which one part is
	Version   string        `json:"version"`            // of the code
	Done      bool          `json:"done"`               // whether all rows have been asked about
	Explained int           `json:"explained"`          // rows with a result, when done
	Failed    int           `json:"failed"`             // rows without one, when done
}

// schema is the version of a folder of results that this package writes.
const schema = 1

// same reports whether two manifests are of runs that may go on from each other, and where they differ.
func (m Manifest) same(other Manifest) (differs string) {
	for _, x := range []struct {
		what string
		a, b any
	}{{"another version of the format", m.Schema, other.Schema}, {"another model", m.ModelHash, other.ModelHash},
		{"weights that are held otherwise", m.Weights, other.Weights},
		{"products of another precision", m.Precision, other.Precision}, {"another engine", m.Engine, other.Engine},
		{"another request", m.Request, other.Request}, {"other labels", m.Labels, other.Labels},
		{"another question", m.Score, other.Score}, {"another suite", unplaced(m.Suite), unplaced(other.Suite)},
		{"another protocol", m.Protocol, other.Protocol}, {"another format", m.Parquet, other.Parquet},
		{"another file or template", m.Source, other.Source},
		{"another content of the file", m.SHA256, other.SHA256}, {"another size of parts", m.PartRows, other.PartRows},
		{"another version of lmkit", m.Version, other.Version}} {
		a, _ := json.Marshal(x.a)
		if b, _ := json.Marshal(x.b); !bytes.Equal(a, b) {
			return x.what
		}
	}
	return ""
}

// ReadManifest reads the manifest of a folder of results.
func ReadManifest(dir string) (m Manifest, err error) {
	data, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return m, fmt.Errorf("%s is no folder of results: %w", dir, plain(err))
	}
	var by struct{ Schema int }
	if err = strict.Decode(data, &by); err == nil && by.Schema > schema {
		return m, fmt.Errorf("%s has results of schema %d; this lmkit reads up to %d: upgrade lmkit", dir, by.Schema, schema)
	}
	if err == nil {
		err = strict.Unmarshal(data, &m)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("%s in %s is no manifest of results: %w", ManifestFile, dir, err)
	}
	return m, nil
}

// check says which of its numbers cannot be.
func (m Manifest) check() error {
	for _, x := range []struct {
		name               string
		value, least, most int
	}{{"schema", m.Schema, 1, schema}, {"rows", m.Rows, 0, math.MaxInt}, {"part_rows", m.PartRows, 1, math.MaxInt},
		{"explained", m.Explained, 0, m.Rows}, {"failed", m.Failed, 0, m.Rows - m.Explained}} {
		if x.value < x.least || x.value > x.most {
			return fmt.Errorf("%s is %d; it can be %d to %d", x.name, x.value, x.least, x.most)
		}
	}
	return nil
}

func (m Manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return whole.Write(filepath.Join(dir, ManifestFile), append(data, '\n'))
}

// plain is an error of a file without its path, which is named already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Results reads the results in a folder, in the order of the file of items; the rows
// of a part that a stopped run has not ended are left out. An error ends it.
func Results(dir string) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		for name, err := range files(dir, partFiles) {
			if err != nil {
				yield(Result{}, err)
				return
			}
			for data, err := range linesOf(name) {
				var r Result
				if err == nil {
					if r, err = decode(data); err != nil {
						err = fmt.Errorf("a line of %s %w", name, err)
					}
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// Failures reads the failures in a folder, in the order of the file of items.
func Failures(dir string) iter.Seq2[Failure, error] {
	return valuesOf[Failure](dir, "failures-*.jsonl")
}

// linesOfParts reads the lines of the parts of a folder.
func linesOfParts[T any](dir string) iter.Seq2[T, error] { return valuesOf[T](dir, partFiles) }

// valuesOf reads lines of JSON in files of a kind.
func valuesOf[T any](dir, kind string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for name, err := range files(dir, kind) {
			if err != nil {
				yield(none, err)
				return
			}
			for data, err := range linesOf(name) {
				var v T
				if err == nil {
					in := json.NewDecoder(bytes.NewReader(data))
					in.UseNumber()
					if err = strict.Plain(in.Decode(&v)); err != nil {
						err = fmt.Errorf("a line of %s: %w", name, err)
					}
				}
				if !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

// files yields the files of a folder whose names are of a kind, sorted.
func files(dir, kind string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := os.Stat(dir); err != nil {
			yield("", fmt.Errorf("the results in %s: %w", dir, plain(err)))
			return
		}
		names, _ := filepath.Glob(filepath.Join(escape(dir), kind))
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// escape makes a path a pattern that only it matches.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// linesOf yields the lines of a file that end, without their ends.
func linesOf(name string) iter.Seq2[[]byte, error] {
	if filepath.Ext(name) == ".parquet" {
		return packedLines(name)
	}
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(name)
		if err != nil {
			yield(nil, fmt.Errorf("the results in %s: %w", name, plain(err)))
			return
		}
		defer f.Close()
		for in := bufio.NewReaderSize(f, 1<<16); ; {
			data, err := in.ReadBytes('\n')
			if err == io.EOF {
				return
			}
			if err == nil {
				data = data[:len(data)-1]
			}
			if !yield(data, err) || err != nil {
				return
			}
		}
	}
}
