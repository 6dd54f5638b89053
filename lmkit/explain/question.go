package explain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// The objectives: which number about the next token is explained.
const (
	Contrast = "contrast" // logit of the target minus logit of the foil: why this token rather than that one
	Logit    = "logit"    // logit of the target
	LogProb  = "logprob"  // log-probability of the target, in nats
	Prob     = "prob"     // probability of the target
	Loss     = "loss"     // minus the log-probability of the target, in nats
)

// Objectives lists them.
var Objectives = []string{Contrast, Logit, LogProb, Prob, Loss}

// The groupings of tokens into features.
const (
	ByToken    = "token"
	ByWord     = "word"
	BySentence = "sentence"
)

// Question asks why the model predicts what it does after a text. Its zero value, with a prompt, asks why the first
// choice rather than the second, token by token, against the unknown token (or the mean embedding).
type Question struct {
	Prompt    string     // the text, or
	IDs       []token.ID // its tokens
	State     *lm.State  // LSTM: the state before the first token; nil: zeros
	Target    *token.ID  // nil: the model's first choice
	Foil      *token.ID  // for Contrast; nil: the best of the others
	Objective string     // "": Contrast
	By        string     // "": ByToken
	Groups    [][]int    // any grouping of token positions, in place of By; tokens in no group stay as they are
	// Baseline says what an absent token is replaced with, its position kept: "unk" the unknown token, "mean" the mean
	// of the embedding table, "zero" zeros, "#7" a token. Several, with commas, are averaged. "": unk, or else mean.
	Baseline  string
	Tolerance float64 // of the completeness error, relative; 0: 0.01
	Seed      uint64
	Memory    int64 // bytes of activations to hold at once, about; 0: lm's default
}

// Method is a way to answer a question.
type Method interface {
	// Name is the method's stable name, as on the command line.
	Name() string
	// Explain runs the method. A result that breaks the method's own promise comes back with a warning, not an error.
	Explain(ctx context.Context, m *lm.Model, q Question) (*Attribution, error)
}

// Problem is a question made precise for one model: everything that methods need, resolved and checked.
type Problem struct {
	Question
	Model      *lm.Model
	Target     token.ID
	Foil       token.ID // for Contrast
	Tokens     []InputToken
	Features   []Feature
	Baselines  []Baseline
	Embeddings lm.Array  // of the input's tokens [T, D]
	Value      float64   // the objective on the input
	Bases      []float64 // the objective on each baseline
	choice     token.ID  // the model's first choice
	cost       lm.Cost   // so far
}

// Baseline is what an absent token is: an embedding.
type Baseline struct {
	Name   string
	Vector lm.Array // [D]
}

// Prepare resolves a question: encodes the text, finds target and foil, groups tokens, and evaluates the objective on
// the input and on the baselines.
func Prepare(ctx context.Context, m *lm.Model, q Question) (*Problem, error) {
	if err := q.defaults(m); err != nil {
		return nil, err
	}
	p := &Problem{Question: q, Model: m}
	if err := p.encode(); err != nil {
		return nil, err
	}
	if err := p.baselines(); err != nil {
		return nil, err
	}
	// One batch: the input, and each baseline in place of all features.
	sets := []Replacement{{}}
	for i := range p.Baselines {
		sets = append(sets, Replacement{Features: p.AllFeatures(), Baseline: i})
	}
	logits, err := p.logits(ctx, sets)
	if err != nil {
		return nil, err
	}
	if err := p.choose(logits[0]); err != nil {
		return nil, err
	}
	p.Value = p.objective(logits[0])
	for _, l := range logits[1:] {
		p.Bases = append(p.Bases, p.objective(l))
	}
	return p, nil
}

func (q *Question) defaults(m *lm.Model) error {
	var errs []error
	if q.Objective == "" {
		q.Objective = Contrast
	}
	if !slices.Contains(Objectives, q.Objective) {
		errs = append(errs, fmt.Errorf("there is no objective %q; there are %s", q.Objective, strings.Join(Objectives, ", ")))
	}
	if q.By == "" {
		q.By = ByToken
	}
	if !slices.Contains([]string{ByToken, ByWord, BySentence}, q.By) {
		errs = append(errs, fmt.Errorf("there is no grouping by %q; there are token, word and sentence", q.By))
	}
	if q.Tolerance == 0 {
		q.Tolerance = 0.01
	}
	if q.Tolerance < 0 || math.IsNaN(q.Tolerance) {
		errs = append(errs, fmt.Errorf("the tolerance is %v; it must be positive", q.Tolerance))
	}
	if q.Baseline == "" {
		q.Baseline = "mean"
		if tok := m.Tokenizer(); tok != nil {
			if _, ok := tok.Unknown(); ok {
				q.Baseline = "unk"
			}
		}
	}
	if q.Foil != nil && q.Objective != Contrast {
		errs = append(errs, fmt.Errorf("a foil belongs to the objective contrast, not to %s", q.Objective))
	}
	if q.Target != nil && q.Foil != nil && *q.Target == *q.Foil {
		errs = append(errs, errors.New("target and foil are the same token"))
	}
	for _, id := range []*token.ID{q.Target, q.Foil} {
		if id != nil && (*id < 0 || int(*id) >= m.Config().Vocab) {
			errs = append(errs, fmt.Errorf("token #%d is outside the vocabulary of %d", *id, m.Config().Vocab))
		}
	}
	if q.Prompt != "" && q.IDs != nil {
		errs = append(errs, errors.New("both a prompt and token IDs were given; give one"))
	}
	return errors.Join(errs...)
}

// encode turns the prompt into tokens, and the tokens into features.
func (p *Problem) encode() error {
	enc := token.Encoding{IDs: p.IDs}
	tok := p.Model.Tokenizer()
	if p.IDs == nil {
		if p.Prompt == "" {
			return errors.New("there is no prompt")
		}
		if tok == nil {
			return errors.New("this model has no tokenizer: give the prompt as token IDs")
		}
		var err error
		if enc, err = tok.Encode(p.Prompt); err != nil {
			return err
		}
		p.IDs = enc.IDs
	}
	if err := p.Model.CheckRow(p.IDs); err != nil {
		return err
	}
	for i, id := range p.IDs {
		t := InputToken{ID: int(id), Text: p.Model.TokenText(id)}
		if enc.Spans != nil {
			t.Start, t.End = enc.Spans[i].Start, enc.Spans[i].End
			if _, same := tok.(*token.Word); same { // normalised: show the text as it was written
				t.Text = strings.TrimSpace(enc.Piece(i))
			}
		}
		p.Tokens = append(p.Tokens, t)
	}
	return p.group(enc)
}

// group makes the features.
func (p *Problem) group(enc token.Encoding) error {
	if p.Groups != nil {
		return p.groupAsGiven()
	}
	if p.By == ByToken {
		for i, t := range p.Tokens {
			p.Features = append(p.Features, Feature{Text: t.Text, Tokens: []int{i}})
		}
		return nil
	}
	if enc.Spans == nil {
		return fmt.Errorf("token IDs have no text to be grouped by %s: give a prompt, or group by token", p.By)
	}
	parts := token.Words(p.Prompt)
	if p.By == BySentence {
		parts = token.Sentences(p.Prompt)
	}
	k, last := 0, -1
	for i, s := range enc.Spans {
		// A token belongs to the part that holds its first visible byte.
		at := s.Start
		for at < s.End-1 && strings.IndexByte(" \t\r\n", p.Prompt[at]) >= 0 {
			at++
		}
		for k < len(parts)-1 && at >= parts[k].End {
			k++
		}
		if k != last {
			p.Features = append(p.Features, Feature{Text: strings.TrimSpace(p.Prompt[parts[k].Start:parts[k].End])})
			last = k
		}
		f := &p.Features[len(p.Features)-1]
		f.Tokens = append(f.Tokens, i)
	}
	return nil
}

func (p *Problem) groupAsGiven() error {
	used := map[int]bool{}
	for _, g := range p.Groups {
		g = slices.Sorted(slices.Values(g))
		var text []string
		for _, i := range g {
			if i < 0 || i >= len(p.Tokens) {
				return fmt.Errorf("a group holds position %d, but there are %d tokens", i, len(p.Tokens))
			}
			if used[i] {
				return fmt.Errorf("position %d is in two groups", i)
			}
			used[i] = true
			text = append(text, strings.TrimSpace(p.Tokens[i].Text))
		}
		if len(g) == 0 {
			return errors.New("a group is empty")
		}
		p.Features = append(p.Features, Feature{Text: strings.Join(text, " "), Tokens: g})
	}
	if len(p.Features) == 0 {
		return errors.New("there are no groups")
	}
	return nil
}

// baselines finds the embeddings of the input, and those that stand for an absent token.
func (p *Problem) baselines() error {
	table, err := p.Model.Embedding()
	if err != nil {
		return err
	}
	p.Embeddings = lm.Array{Dims: []int{len(p.IDs), table.Dims[1]}}
	for _, id := range p.IDs {
		p.Embeddings.Data = append(p.Embeddings.Data, table.Index(int(id)).Data...)
	}
	for name := range strings.SplitSeq(p.Baseline, ",") {
		name = strings.TrimSpace(name)
		b := Baseline{Name: name}
		row := func(id token.ID) lm.Array {
			return lm.Array{Dims: table.Dims[1:], Data: slices.Clone(table.Index(int(id)).Data)}
		}
		switch {
		case name == "zero":
			b.Vector = lm.Array{Dims: table.Dims[1:], Data: make([]float32, table.Dims[1])}
		case name == "mean":
			if b.Vector, err = p.Model.MeanEmbedding(); err != nil {
				return err
			}
		case name == "unk":
			tok := p.Model.Tokenizer()
			if tok == nil {
				return errors.New("the baseline unk needs a tokenizer, and this model has none: choose mean, zero or #ID")
			}
			id, ok := tok.Unknown()
			if !ok {
				return errors.New("this model's tokenizer has no unknown token: choose the baseline mean, zero or #ID")
			}
			b.Vector = row(id)
		case strings.HasPrefix(name, "#"):
			id, err := strconv.Atoi(name[1:])
			if err != nil || id < 0 || id >= table.Dims[0] {
				return fmt.Errorf("the baseline %s is no token: there are #0 to #%d", name, table.Dims[0]-1)
			}
			b.Vector = row(token.ID(id))
		default:
			return fmt.Errorf("there is no baseline %q; there are unk, mean, zero and #ID (a token)", name)
		}
		p.Baselines = append(p.Baselines, b)
	}
	return nil
}

// choose finds target and foil where the question leaves them to the model.
func (p *Problem) choose(logits []float32) error {
	best := func(not token.ID) token.ID {
		top := token.ID(-1)
		for i, v := range logits {
			if token.ID(i) != not && (top < 0 || v > logits[top]) {
				top = token.ID(i)
			}
		}
		return top
	}
	p.choice = best(-1)
	p.Target, p.Foil = p.choice, -1
	if p.Question.Target != nil {
		p.Target = *p.Question.Target
	}
	switch {
	case p.Objective != Contrast:
		return nil
	case p.Question.Foil != nil:
		p.Foil = *p.Question.Foil
		if p.Question.Target == nil && p.Target == p.Foil {
			p.Target = best(p.Foil)
		}
	default:
		p.Foil = best(p.Target)
	}
	if p.Foil < 0 {
		return errors.New("a vocabulary of one token has nothing to contrast")
	}
	return nil
}

// objective is the number that is explained, from the logits of the next token.
func (p *Problem) objective(logits []float32) float64 {
	at := float64(logits[p.Target])
	switch p.Objective {
	case Contrast:
		return at - float64(logits[p.Foil])
	case Logit:
		return at
	}
	top, sum := math.Inf(-1), 0.0
	for _, v := range logits {
		top = max(top, float64(v))
	}
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	logProb := at - top - math.Log(sum)
	switch p.Objective {
	case Loss:
		return -logProb
	case Prob:
		return math.Exp(logProb)
	}
	return logProb
}

// LM is the objective as the model computes it, at the last token of a row.
func (p *Problem) LM() lm.Objective {
	target := lm.Term{Pos: -1, ID: p.Target, Weight: 1}
	switch p.Objective {
	case Contrast:
		return lm.Objective{Unit: lm.Logit, Terms: []lm.Term{target, {Pos: -1, ID: p.Foil, Weight: -1}}}
	case Logit:
		return lm.Objective{Unit: lm.Logit, Terms: []lm.Term{target}}
	case Prob:
		return lm.Objective{Unit: lm.Prob, Terms: []lm.Term{target}}
	case Loss:
		target.Weight = -1
	}
	return lm.Objective{Unit: lm.LogProb, Terms: []lm.Term{target}}
}

// Unit is the unit of the objective.
func (p *Problem) Unit() string {
	switch p.Objective {
	case Contrast, Logit:
		return "logit"
	case Prob:
		return "probability"
	}
	return "nat"
}

// Base is the objective on the baseline: the mean over the baselines.
func (p *Problem) Base() float64 {
	sum := 0.0
	for _, b := range p.Bases {
		sum += b
	}
	return sum / float64(len(p.Bases))
}

// Run asks the model for the problem, and counts what it costs.
func (p *Problem) Run(ctx context.Context, q lm.Query) (*lm.Answer, error) {
	q.Memory = p.Memory
	if p.State != nil && q.States == nil {
		for range q.Rows {
			q.States = append(q.States, *p.State)
		}
	}
	a, err := p.Model.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	p.cost.Add(a.Cost)
	return a, nil
}

// Positions is the tokens of some features, ascending.
func (p *Problem) Positions(features []int) []int {
	var at []int
	for _, f := range features {
		at = append(at, p.Features[f].Tokens...)
	}
	slices.Sort(at)
	return at
}

// AllFeatures is the indices of all features.
func (p *Problem) AllFeatures() []int {
	all := make([]int, len(p.Features))
	for i := range all {
		all[i] = i
	}
	return all
}

// inputHash names the input: its tokens and, if there is one, the state before them.
func (p *Problem) inputHash() string {
	h := sha256.New()
	var b []byte
	for _, id := range p.IDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	if p.State != nil {
		for _, a := range []lm.Array{p.State.Hidden, p.State.Cell} {
			for _, v := range a.Data {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		}
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// FindToken finds a token of the model's vocabulary by its text, or as "#ID".
func FindToken(m *lm.Model, text string) (token.ID, error) {
	if n, ok := strings.CutPrefix(text, "#"); ok {
		if id, err := strconv.Atoi(n); err == nil {
			if id < 0 || id >= m.Config().Vocab {
				return 0, fmt.Errorf("token #%d is outside the vocabulary of %d", id, m.Config().Vocab)
			}
			return token.ID(id), nil
		}
	}
	tok := m.Tokenizer()
	if tok == nil {
		return 0, fmt.Errorf("this model has no tokenizer: name the token by its number, as #%d", 7)
	}
	// Byte-level vocabularies keep the space before a word in its token: that is what follows a prompt.
	for _, t := range []string{text, " " + text} {
		if id, ok := tok.Lookup(t); ok {
			return id, nil
		}
	}
	return 0, fmt.Errorf("the token %q is not in the model's vocabulary; name it by its number, as #7", text)
}
