package corpus

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
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
	if err = readRows(path, Place{}, func(row Row) bool { return r.take(row, extension(path)) }); err == nil {
		err = r.err
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

type pairReader struct {
	in     PairsIn
	pairs  []Pair
	broken []Broken
	err    error // why the file as a whole holds none
}

// take takes the pair of a row of a file with this extension. It reports false where no row can hold one.
func (r *pairReader) take(row Row, extension string) bool {
	if row.Broken != "" {
		r.broken = append(r.broken, Broken{row.Line, row.Broken})
		return true
	}
	if !isTable(extension) {
		r.line(row.Line, row.Cells[0].(string))
		return true
	}
	prompt, answer, err := r.columns(row.Names)
	switch {
	case err != nil && strings.HasSuffix(extension, "l"): // each line of JSON has columns of its own
		r.wrong(row.Line, "has not what is asked for: %v", strings.TrimPrefix(err.Error(), "it "))
	case err != nil:
		r.err = err
		return false
	default:
		r.row(row, prompt, answer)
	}
	return true
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

func (r *pairReader) line(n int, line string) {
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
}

// row takes the columns of a table's row.
func (r *pairReader) row(row Row, prompt, answer string) {
	text, _ := row.Text(prompt)
	label, _ := row.Text(answer)
	if strings.TrimSpace(text) == "" {
		r.wrong(row.Line, "has no text")
		return
	}
	r.add(row.Line, strings.TrimSpace(text)+" "+Mark, " "+strings.TrimSpace(label))
}

// columns finds the two columns among the names of a table.
func (r *pairReader) columns(names []string) (prompt, answer string, err error) {
	if !slices.Contains(names, r.in.Answer) {
		return "", "", fmt.Errorf("it has no column %q; it has %s", r.in.Answer, quotedList(names))
	}
	if prompt = r.in.Prompt; prompt == "" {
		i := slices.IndexFunc(Prompts, func(p string) bool { return p != r.in.Answer && slices.Contains(names, p) })
		if i < 0 {
			return "", "", fmt.Errorf("it is not said which column has the texts; it has %s", quotedList(names))
		}
		prompt = Prompts[i]
	}
	if !slices.Contains(names, prompt) {
		return "", "", fmt.Errorf("it has no column %q; it has %s", prompt, quotedList(names))
	}
	return prompt, r.in.Answer, nil
}

// Prompts are the columns that hold the texts of a table where nobody says which one does: the first that is there.
var Prompts = []string{"prompt", "text", "sentence", "question"}

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
