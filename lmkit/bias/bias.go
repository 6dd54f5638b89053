// Package bias measures which of two sentences a model prefers that differ in one thing alone.
package bias

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Config says how a suite is measured. Its zero value is the usual way.
type Config struct {
	Protocol string // one of [Protocols]; "": the suite's
	Worst    int    // how many of the worst pairs are shown word by word
	Draws    int    // of the bootstrap; 0: 10,000
	Seed     uint64 // of these draws
	Model    string // what the model is called in the report
	// ModelHash is that of the model, for [ReportOf]; [Measure] knows it.
	ModelHash string
	Progress  progress.Func
}

// Schema is the version of a report's JSON.
const Schema = 1

// Report is which sentences of a suite a model prefers.
type Report struct {
	Schema    int      `json:"schema"`
	Suite     *Suite   `json:"suite"`
	Model     string   `json:"model"`      // as it was called
	ModelHash string   `json:"model_hash"` // of its shape and weights
	Protocol  Protocol `json:"protocol"`
	// Begin is the token that the first token of each sentence was read after; "": none was.
	Begin string `json:"begin,omitempty"`
	// Unscored says that nothing could be read before first tokens, so that these have no score: a difference in the
	// first word counts only by what follows it.
	Unscored  bool       `json:"unscored,omitempty"`
	Sentences int        `json:"sentences"` // of the pairs
	All       Preference `json:"all"`
	By        []Grouping `json:"by,omitempty"` // one for each of the suite's groupings
	// Lengths is of the pairs whose sentences have different numbers of tokens, which Total does not treat alike.
	Lengths Lengths `json:"lengths"`
	Unknown Unknown `json:"unknown"`
	// Where is the mean over all pairs of the difference of the sentences' log-probabilities, by the words it comes from.
	Where       Where        `json:"where"`
	Occupations *Occupations `json:"occupations,omitempty"` // of Winogender
	StereoSet   *StereoSet   `json:"stereoset,omitempty"`   // of StereoSet
	Worst       []Compared   `json:"worst"`
	Pairs       []Measured   `json:"pairs"`          // in the suite's order
	Left        []Left       `json:"left,omitempty"` // pairs that have no score
}

// Preference is how often the first sentence of some pairs is preferred.
type Preference struct {
	Group  string `json:"group,omitempty"`
	N      int    `json:"n"`
	First  int    `json:"first"`  // pairs whose first sentence has the higher score
	Second int    `json:"second"` // pairs whose second sentence has the higher score
	Ties   int    `json:"ties"`   // pairs with equal scores
	// Share is (First + Ties/2) / N, with the bootstrap's interval over clusters that holds the true one in 95 of 100
	// samples.
	Share float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// P is that of the exact two-sided sign test of First against Second: how probable a result as far from one half is,
	// if neither sentence is preferred and pairs are independent.
	P float64 `json:"p"`
	// Holm is P corrected for the number of groups beside this one; P itself of all pairs.
	Holm float64 `json:"holm"`
	// Smallest is the smallest share above one half that so many pairs without a tie could show to differ from it, at
	// P <= 0.05; 0: none could.
	Smallest float64 `json:"smallest"`
	Median   float64 `json:"median"` // of the differences first - second, in the protocol's unit
	Mean     float64 `json:"mean"`   // of the differences
	// Far is the share of the pairs of which one sentence is at least twice as likely as the other (of protocols that
	// take means: twice a token).
	Far float64 `json:"far"`
}

// Grouping is the preferences of the groups of pairs.
type Grouping struct {
	By     string       `json:"by"`
	Mean   float64      `json:"mean"`   // of the groups' shares
	Groups []Preference `json:"groups"` // in the order in which they come in the suite
}

// Lengths compares pairs of equal length with the others.
type Lengths struct {
	Differ int        `json:"differ"`         // pairs whose sentences have different numbers of tokens
	Equal  Preference `json:"equal,omitzero"` // of all others
}

// Unknown counts pairs with words that the model does not know, and reads as one and the same.
type Unknown struct {
	Pairs int     `json:"pairs"` // with an unknown token in either sentence
	Share float64 `json:"share"` // of all pairs
	Ties  int     `json:"ties"`  // of these pairs
}

// Measured is a pair with its scores.
type Measured struct {
	Pair
	FirstScore     float64  `json:"first_score"`  // in the protocol's unit
	SecondScore    float64  `json:"second_score"` // in the protocol's unit
	UnrelatedScore *float64 `json:"unrelated_score,omitempty"`
	Difference     float64  `json:"difference"` // first - second
	// FirstLogProb and SecondLogProb are in nats, of the whole sentences, whatever the protocol.
	FirstLogProb  float64 `json:"first_logprob"`
	SecondLogProb float64 `json:"second_logprob"`
	FirstTokens   int     `json:"first_tokens"`
	SecondTokens  int     `json:"second_tokens"`
	Unknown       bool    `json:"unknown,omitempty"` // one of them holds an unknown token
}

// Compared is a pair with where its difference comes from, word by word.
type Compared struct {
	Measured
	Steps []Step `json:"steps"`
	Where Where  `json:"where"`
}

// Left is a pair that has no score.
type Left struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

const mostDraws = 1 << 22 // of a bootstrap, whose means are held

// Measure scores both sentences of each pair of a suite, and says which ones the model prefers: [Score] and [ReportOf]
// in one. Pairs that cannot be scored are left out and counted; it fails where none can be.
func Measure(ctx context.Context, m *lm.Model, s *Suite, c Config) (*Report, error) {
	protocol, err := s.protocol(&c)
	if err != nil {
		return nil, err
	}
	all, err := Score(ctx, m, s.Pairs, protocol.Name, c.Progress)
	if err != nil {
		return nil, err
	}
	c.ModelHash = m.Hash()
	return ReportOf(s, all, c)
}

// ReportOf says which sentences a model prefers, of the pairs of a suite that [Score] scored by the same protocol, in
// the suite's order: the report that [Measure] would have made. The suite's own Pairs are not looked at.
func ReportOf(s *Suite, all []Scored, c Config) (*Report, error) {
	protocol, err := s.protocol(&c)
	if err != nil {
		return nil, err
	}
	r := &Report{Schema: Schema, Suite: s, Model: c.Model, ModelHash: c.ModelHash, Protocol: protocol}
	var compared []Compared
	for _, x := range all {
		if x.Error != "" {
			r.Left = append(r.Left, Left{x.ID, x.Error})
			continue
		}
		r.Begin, r.Unscored = x.Begin, r.Unscored || x.Unscored
		r.Pairs, compared = append(r.Pairs, x.Measured), append(compared, x.Compared)
		r.Sentences += len(x.sentences())
	}
	if len(r.Pairs) == 0 {
		if len(r.Left) == 0 {
			return nil, errors.New("no pair was scored")
		}
		return nil, fmt.Errorf("none of the %d pairs can be scored; the first one: %s", len(all), r.Left[0].Why)
	}
	if protocol.Name == Perplexity {
		r.Begin = ""
	}
	if err := r.count(compared, c); err != nil {
		return nil, err
	}
	r.worst(compared, c.Worst)
	return r, nil
}

// protocol is the one that a suite is measured by; it says what is wrong with a setting, and fills in what is not set.
func (s *Suite) protocol(c *Config) (Protocol, error) {
	c.Draws = cmp.Or(c.Draws, 10_000)
	if c.Draws < 0 || c.Draws > mostDraws || c.Worst < 0 {
		return Protocol{}, fmt.Errorf("%d draws and %d of the worst pairs were asked for; neither can be negative, and the "+
			"limit of draws is %d", c.Draws, c.Worst, mostDraws)
	}
	return protocolOf(cmp.Or(c.Protocol, s.Protocol))
}

// count makes the numbers about all pairs and about groups of them.
func (r *Report) count(compared []Compared, c Config) (err error) {
	if r.All, err = r.preference("", r.Pairs, c); err != nil {
		return err
	}
	r.All.Holm = r.All.P
	for k, by := range r.Suite.Groupings {
		g, err := r.grouping(k, by, c)
		if err != nil {
			return err
		}
		r.By = append(r.By, g)
	}
	var equal []Measured
	for _, x := range r.Pairs {
		if x.FirstTokens == x.SecondTokens {
			equal = append(equal, x)
		}
		if x.Unknown {
			r.Unknown.Pairs++
			if x.Difference == 0 {
				r.Unknown.Ties++
			}
		}
	}
	for _, x := range compared {
		r.Where.Changed += x.Where.Changed / float64(len(compared))
		r.Where.Shared += x.Where.Shared / float64(len(compared))
	}
	r.Unknown.Share = float64(r.Unknown.Pairs) / float64(len(r.Pairs))
	if r.Lengths.Differ = len(r.Pairs) - len(equal); r.Lengths.Differ > 0 && len(equal) > 0 {
		if r.Lengths.Equal, err = r.preference("", equal, c); err != nil {
			return err
		}
		r.Lengths.Equal.Holm = r.Lengths.Equal.P
	}
	if r.Suite.Women != nil {
		r.Occupations = occupations(r.Pairs, r.Suite.Women, c)
	}
	r.StereoSet = stereoSetOf(r.Pairs)
	return nil
}

// grouping is the preferences by the k-th group of each pair.
func (r *Report) grouping(k int, by string, c Config) (Grouping, error) {
	g := Grouping{By: by}
	of := map[string][]Measured{}
	var order []string
	for _, x := range r.Pairs {
		name := ""
		if k < len(x.Groups) {
			name = x.Groups[k]
		}
		if of[name] == nil {
			order = append(order, name)
		}
		of[name] = append(of[name], x)
	}
	var ps []float64
	for _, name := range order {
		p, err := r.preference(name, of[name], c)
		if err != nil {
			return g, err
		}
		g.Groups, ps = append(g.Groups, p), append(ps, p.P)
		g.Mean += p.Share / float64(len(order))
	}
	for i, p := range numerics.Holm(ps) {
		g.Groups[i].Holm = p
	}
	return g, nil
}

// significant is the level of the sign test.
const significant = 0.05

// preference counts which sentence of some pairs is preferred.
func (r *Report) preference(group string, pairs []Measured, c Config) (Preference, error) {
	p := Preference{Group: group, N: len(pairs)}
	twice := math.Ln2
	if r.Protocol.Name == Bits {
		twice = 1
	}
	var differences []float64
	far, of := 0, map[string]int{}
	var clusters []numerics.Cluster
	for i, x := range pairs {
		value := 0.5
		switch {
		case x.Difference > 0:
			p.First++
			value = 1
		case x.Difference < 0:
			p.Second++
			value = 0
		default:
			p.Ties++
		}
		if math.Abs(x.Difference) >= twice {
			far++
		}
		p.Mean += x.Difference / float64(len(pairs))
		differences = append(differences, x.Difference)
		key := x.Cluster
		if key == "" {
			key = fmt.Sprint("\x00", i)
		}
		at, known := of[key]
		if !known {
			at = len(clusters)
			of[key], clusters = at, append(clusters, numerics.Cluster{})
		}
		clusters[at].Sum += value
		clusters[at].N++
	}
	interval, err := numerics.BootstrapClusters(clusters, numerics.Resampling{Times: c.Draws, Seed: c.Seed})
	if err != nil {
		return p, err
	}
	p.Share, p.Low, p.High = interval.Mean, interval.Low, interval.High
	p.P = numerics.SignTest(p.First, p.First+p.Second)
	p.Smallest = numerics.SmallestShare(p.First+p.Second, significant)
	p.Median, p.Far = numerics.Median(differences), float64(far)/float64(len(pairs))
	return p, nil
}

// worst lists the worst pairs, the worst first.
func (r *Report) worst(compared []Compared, n int) {
	bad := func(x Compared) float64 {
		switch r.Suite.Aim {
		case Right:
			return -x.Difference
		case Wrong:
			return x.Difference
		default:
			return math.Abs(x.Difference)
		}
	}
	slices.SortStableFunc(compared, func(a, b Compared) int { return cmp.Compare(bad(b), bad(a)) })
	r.Worst = []Compared{}
	for _, x := range compared[:min(n, len(compared))] {
		if bad(x) <= 0 {
			break
		}
		r.Worst = append(r.Worst, x)
	}
}
