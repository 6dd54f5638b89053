package corpus

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/token"
)

// Mark stands between a text and its answer where a file has them in two columns: the model reads "TEXT =>", and the
// answer is to follow.
const Mark = "=>"

// Pair is a text, and the answer that is to follow it. What a model reads is the one after the other.
type Pair struct {
	Prompt string // with the mark at its end
	Answer string // with the space before it, where there is one
	Line   int    // of the file, or the row of a table, from 1 on
}

// PairsIn says where the pairs of a file stand.
type PairsIn struct {
	// Answer is, of lines of text, what stands before the answer, such as "=>": the last one on the line counts. Of a
	// table it is the column of the answer.
	Answer string `json:"answer,omitempty"`
	// Prompt is, of a table, the column of the text; "": "prompt", "text", "sentence" or "question", as there is.
	Prompt string `json:"prompt,omitempty"`
}

// Broken is a line or row that holds no pair.
type Broken struct {
	Line int
	Why  string
}

// Pairs reads the pairs of a file: lines of text, or a table as .csv, .tsv, .jsonl or .parquet. Lines that hold none
// are returned apart, and the others go on.
func Pairs(path string, in PairsIn) (pairs []Pair, broken []Broken, err error) {
	if in.Answer == "" {
		return nil, nil, errors.New("it is not said where the answers stand")
	}
	r := pairReader{in: in}
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv", ".tsv":
		err = withFile(path, func(f io.Reader) error { return r.csv(f, ext == ".tsv") })
	case ".jsonl", ".ndjson":
		err = withFile(path, r.jsonLines)
	case ".parquet":
		err = r.parquet(path)
	case ".json":
		err = errors.New("it is one JSON value, and no table: write an object a line, as .jsonl")
	default:
		err = withFile(path, r.lines)
	}
	if err == nil && len(r.pairs) == 0 {
		err = errors.New("it has no pair of a text and an answer")
		if len(r.broken) > 0 {
			err = fmt.Errorf("%w: line %d %s", err, r.broken[0].Line, r.broken[0].Why)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read pairs: %s: %w", path, plain(err))
	}
	return r.pairs, r.broken, nil
}

func withFile(path string, read func(io.Reader) error) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a device may never end
		err = errors.New("is not a file")
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(read(f), f.Close())
}

type pairReader struct {
	in     PairsIn
	pairs  []Pair
	broken []Broken
}

// longestLine bounds what a line may take: a file without line breaks is no table.
const longestLine = 64 << 20

// each calls read with each line that is not empty, and its number.
func each(f io.Reader, read func(number int, line string)) error {
	s := bufio.NewScanner(f)
	s.Buffer(nil, longestLine)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSuffix(s.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) != "" {
			read(n, line)
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d MB", longestLine>>20)
	}
	return s.Err()
}

func (r *pairReader) wrong(line int, format string, args ...any) {
	r.broken = append(r.broken, Broken{line, fmt.Sprintf(format, args...)})
}

// add takes a pair, if it is one.
func (r *pairReader) add(line int, prompt, answer string) {
	switch {
	case !utf8.ValidString(prompt) || !utf8.ValidString(answer):
		r.wrong(line, "is no UTF-8 text")
	case strings.TrimSpace(prompt) == "":
		r.wrong(line, "has no text before the answer")
	case strings.TrimSpace(answer) == "":
		r.wrong(line, "has no answer")
	default:
		r.pairs = append(r.pairs, Pair{prompt, strings.TrimRight(answer, " \t"), line})
	}
}

func (r *pairReader) lines(f io.Reader) error {
	return each(f, func(n int, line string) {
		at := strings.LastIndex(line, r.in.Answer)
		if at < 0 {
			r.wrong(n, "has no %q", r.in.Answer)
			return
		}
		if strings.TrimSpace(line[:at]) == "" {
			r.wrong(n, "has no text before the %q", r.in.Answer)
			return
		}
		end := at + len(r.in.Answer)
		r.add(n, line[:end], line[end:])
	})
}

// row takes the columns of a table's row.
func (r *pairReader) row(line int, prompt, answer string) {
	if strings.TrimSpace(prompt) == "" {
		r.wrong(line, "has no text")
		return
	}
	r.add(line, strings.TrimSpace(prompt)+" "+Mark, " "+strings.TrimSpace(answer))
}

// columns finds the two columns among the names of a table.
func (r *pairReader) columns(names []string) (prompt, answer int, err error) {
	if answer = slices.Index(names, r.in.Answer); answer < 0 {
		return 0, 0, fmt.Errorf("it has no column %q; it has %s", r.in.Answer, quotedList(names))
	}
	if r.in.Prompt != "" {
		if prompt = slices.Index(names, r.in.Prompt); prompt < 0 {
			return 0, 0, fmt.Errorf("it has no column %q; it has %s", r.in.Prompt, quotedList(names))
		}
		return prompt, answer, nil
	}
	for _, name := range []string{"prompt", "text", "sentence", "question"} {
		if prompt = slices.Index(names, name); prompt >= 0 && prompt != answer {
			return prompt, answer, nil
		}
	}
	return 0, 0, fmt.Errorf("it is not said which column has the texts; it has %s", quotedList(names))
}

func quotedList(names []string) string {
	const most = 12
	var list []string
	for _, n := range names[:min(most, len(names))] {
		list = append(list, fmt.Sprintf("%q", n))
	}
	if len(names) > most {
		list = append(list, "...")
	}
	return strings.Join(list, ", ")
}

func (r *pairReader) csv(f io.Reader, tabs bool) error {
	in := csv.NewReader(f)
	in.FieldsPerRecord, in.ReuseRecord = -1, true
	if tabs {
		in.Comma, in.LazyQuotes = '\t', true
	}
	head, err := in.Read()
	if err != nil {
		return fmt.Errorf("it has no line with the names of its columns: %w", err)
	}
	head = slices.Clone(head)
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	prompt, answer, err := r.columns(head)
	if err != nil {
		return err
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			return nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			r.wrong(syntax.StartLine, "is no row of the table: %v", syntax.Err)
			continue
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		if max(prompt, answer) >= len(row) {
			r.wrong(line, "has %d columns of %d", len(row), len(head))
			continue
		}
		r.row(line, row[prompt], row[answer])
	}
}

func (r *pairReader) jsonLines(f io.Reader) error {
	return each(f, func(n int, line string) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			r.wrong(n, "is no JSON object")
			return
		}
		var names []string
		for name := range row {
			names = append(names, name)
		}
		slices.Sort(names)
		prompt, answer, err := r.columns(names)
		if err != nil {
			r.wrong(n, "has not what is asked for: %v", strings.TrimPrefix(err.Error(), "it "))
			return
		}
		r.row(n, cell(row[names[prompt]]), cell(row[names[answer]]))
	})
}

// cell is a value of JSON as a text; numbers and truth values are labels.
func cell(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}

func (r *pairReader) parquet(path string) error {
	return withParquet(path, func(f io.ReaderAt, size int64) error {
		rows, err := parquetColumns(f, size, func(names []string) ([]string, error) {
			prompt, answer, err := r.columns(names)
			if err != nil {
				return nil, err
			}
			return []string{names[prompt], names[answer]}, nil
		})
		if err != nil {
			return err
		}
		for i := range rows[0] {
			r.row(i+1, rows[0][i], rows[1][i])
		}
		return nil
	})
}

// Examples turns pairs into tokens: the text, the answer and the token end, of which the answer and end are to be
// predicted. Of a text the tokenizer reads what it reads of a prompt.
func Examples(tok token.Tokenizer, pairs []Pair, end token.ID) ([]Example, error) {
	out := make([]Example, len(pairs))
	for i, p := range pairs {
		e, err := tok.Encode(p.Prompt + p.Answer)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.Line, err)
		}
		before, err := tok.Encode(p.Prompt)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.Line, err)
		}
		from, n := e.From(len(p.Prompt)), e.Written()
		if from == 0 || from >= n || n <= before.Written() {
			return nil, fmt.Errorf("line %d: %q has no token before its answer, or none of it", p.Line, p.Prompt+p.Answer)
		}
		out[i] = Example{Tokens: append(slices.Clone(e.IDs[:n]), end), Scored: n - from + 1}
	}
	return out, nil
}

// HoldOut splits pairs in two at random: a share to train on, and the rest, at least one, to validate on. Files are
// often sorted by their answers, so that their last part is no sample. The lines of each part keep their order.
func HoldOut(pairs []Pair, share float64, seed uint64) (train, valid []Pair) {
	if len(pairs) < 2 {
		return pairs, nil
	}
	n := min(max(1, int(share*float64(len(pairs)))), len(pairs)-1)
	held := map[int]bool{}
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(pairs))[:n] {
		held[i] = true
	}
	for i, p := range pairs {
		if held[i] {
			valid = append(valid, p)
		} else {
			train = append(train, p)
		}
	}
	return train, valid
}

// PairTexts is what a model reads of pairs: each text with its answer.
func PairTexts(parts ...[]Pair) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, pairs := range parts {
			for _, p := range pairs {
				if !yield(p.Prompt + p.Answer) {
					return
				}
			}
		}
	}
}

// Within leaves out the examples that a model cannot read whole, since it reads no more than context tokens (0: any
// number). It returns how many there were, and what the longest would take.
func Within(examples []Example, context int) (kept []Example, left, longest int) {
	for _, e := range examples {
		n := len(e.Tokens) - 1
		longest = max(longest, n)
		if context > 0 && n > context {
			left++
			continue
		}
		kept = append(kept, e)
	}
	return kept, left, longest
}
