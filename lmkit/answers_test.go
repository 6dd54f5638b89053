package lmkit_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Answers of the models of explaintest, of different lengths.
var answers = [][]token.ID{{2, 6, 1}, {5, 9}}

// answered is a question about an answer of several tokens.
func answered(target, foil []token.ID, objective string) explain.Question {
	return explain.Question{IDs: explaintest.IDs(), Baseline: "#7", Target: target, Foil: foil, Objective: objective,
		FirstToken: explain.ScoreFirst}
}

// objectiveFor is one of an answer that a method explains.
func objectiveFor(info lmkit.MethodInfo) string {
	if strings.Contains(info.Name, "lrp") {
		return explain.Logit
	}
	return explain.LogProb
}

// Every method explains an answer of several tokens, and a contrast of two, as completely as one token; the value is
// the answer's log-probability, token by token.
func TestAnswersComplete(t *testing.T) {
	eachMethodOf(t, explaintest.Models(t), lmkit.Settings{Samples: quick.Samples, Budget: quick.Budget},
		func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
			for _, q := range []explain.Question{answered(answers[0], nil, objectiveFor(info)),
				answered(answers[0], answers[1], ""), answered(answers[1], answers[0], "")} {
				if explain.Suits(method, m, q) != nil && q.Foil != nil {
					continue // said, not passed over
				}
				a := ask(t, m, method, q)
				explaintest.Check(t, a)
				c := a.Evidence.Completeness
				if slices.Contains(info.Axioms, lmkit.Complete) && (c == nil || !c.Holds) {
					t.Errorf("%v rather than %v: the scores do not add up: %+v", q.Target, q.Foil, c)
				}
				want := chain(t, m, q.Target, a.Objective) - chain(t, m, q.Foil, a.Objective)
				if math.Abs(a.Value-want) > 1e-4 {
					t.Errorf("%v rather than %v: the value is %v, token by token %v", q.Target, q.Foil, a.Value, want)
				}
				if len(a.Tokens) != len(explaintest.IDs()) || len(a.Answer) != len(q.Target) ||
					len(a.FoilAnswer) != len(q.Foil) {
					t.Errorf("the result is about %d tokens of input, %v and %v", len(a.Tokens), a.Answer, a.FoilAnswer)
				}
			}
		})
}

// chain is what the tokens of an answer have after the input and each other: their log-probabilities, or logits.
func chain(t *testing.T, m *lm.Model, answer []token.ID, objective string) (sum float64) {
	t.Helper()
	for k, id := range answer {
		a, err := m.Run(t.Context(), lm.Query{Rows: [][]token.ID{slices.Concat(explaintest.IDs(), answer[:k])},
			Logits: lm.LastLogits})
		if err != nil {
			t.Fatal(err)
		}
		x := a.Logits[0].Data
		if objective != explain.Logit {
			lm.LogSoftmax(x)
		}
		sum += float64(x[id])
	}
	return sum
}

// Of a linear method, the scores of an answer are the sum over its tokens of the scores that each has after the input
// and the tokens before it; those of a contrast are the difference of the two answers'; and turned round they are their
// opposites.
func TestAnswersLinear(t *testing.T) {
	eachMethodOf(t, explaintest.Models(t), quick, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo,
		method explain.Method) {
		drawn := info.Name == "expected-gradients" // whose draws depend on the length of a text
		if !slices.Contains(info.Axioms, lmkit.Linear) {
			return
		}
		objective := objectiveFor(info)
		scores := func(q explain.Question) []float64 { return ask(t, m, method, q).Scores }
		n := len(explaintest.IDs())
		sums := make([][]float64, 2)
		for i, answer := range answers {
			sums[i] = make([]float64, n)
			for k, id := range answer {
				q := answered([]token.ID{id}, nil, objective)
				q.IDs = slices.Concat(q.IDs, answer[:k])
				for f := range n {
					q.Groups = append(q.Groups, []int{f})
				}
				for f, s := range scores(q) {
					sums[i][f] += s
				}
			}
			whole := scores(answered(answer, nil, objective))
			if !drawn {
				same(t, "token by token", whole, sums[i], 1e-4)
			}
			sums[i] = whole
		}
		if explain.Suits(method, m, answered(answers[0], answers[1], "")) != nil {
			return
		}
		for f := range sums[0] {
			sums[0][f] -= sums[1][f]
		}
		turned := scores(answered(answers[1], answers[0], ""))
		for f := range turned {
			turned[f] *= -1
		}
		one := scores(answered(answers[0], answers[1], ""))
		same(t, "as a difference", one, sums[0], 1e-3)
		same(t, "turned round", turned, one, 1e-4)
	})
}

// The probabilities of a set are added up, and its scores are the sums of its tokens'.
func TestSets(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, info := range lmkit.Methods() {
			method := must(lmkit.Method(info.Name, quick))
			q := answered([]token.ID{2, 6}, []token.ID{1, 3, 4}, "")
			q.Any = true
			if explain.Suits(method, m, q) != nil {
				continue
			}
			a := ask(t, m, method, q)
			explaintest.Check(t, a)
			if !slices.Contains(info.Axioms, lmkit.Linear) {
				continue
			}
			want := make([]float64, len(a.Scores))
			value := 0.0
			for i, id := range slices.Concat(q.Target, q.Foil) {
				sign := 1.0
				if i >= len(q.Target) {
					sign = -1
				}
				one := ask(t, m, method, answered([]token.ID{id}, nil, explain.Prob))
				value += sign * one.Value
				for f, s := range one.Scores {
					want[f] += sign * s
				}
			}
			if math.Abs(a.Value-value) > 1e-5 || a.Unit != "probability" {
				t.Errorf("%s, %s: %v %s, should be %v", name, info.Name, a.Value, a.Unit, value)
			}
			same(t, name+", "+info.Name, a.Scores, want, 1e-3)
		}
	}
}

// What a model itself goes on with is what it is explained for, in a conversation, too; and it is the same each time.
func TestGeneratedAnswers(t *testing.T) {
	for arch, m := range chatModels(t) {
		r := lmkit.Request{Messages: talk[:2], Generate: 4, Methods: []string{lmkit.All}, Settings: quick}
		as := answer(t, m, r)
		if len(as) < 13 {
			t.Fatalf("%s: %d explanations", arch, len(as))
		}
		for _, a := range as {
			explaintest.Check(t, a)
			if len(a.Answer) != 4 || a.Target != a.Answer[0] || *a.Choice != a.Target || a.Objective != explain.LogProb {
				t.Errorf("%s: %+v of %s", arch, a.Asked(), a.Objective)
			}
		}
		again := answer(t, m, lmkit.Request{Messages: talk[:2], Generate: 4})[0]
		if !slices.Equal(again.Answer, as[0].Answer) {
			t.Errorf("%s: %v, and again %v", arch, as[0].Answer, again.Answer)
		}
		text := "" // of the same answer, given
		for _, x := range again.Answer {
			text += fmt.Sprintf("#%d ", x.ID)
		}
		given := answer(t, m, lmkit.Request{Messages: talk[:2], Target: text})[0]
		if math.Abs(given.Value-again.Value) > 1e-5 {
			t.Errorf("%s: %q has %v when generated, and %v when given", arch, text, again.Value, given.Value)
		}
	}
}

// What cannot be an answer is one clear line.
func TestAnswerMistakes(t *testing.T) {
	m := chatModels(t)[lm.Transformer]
	long := strings.Repeat("it is Paris. ", 200)
	for _, test := range []struct {
		r    lmkit.Request
		want string
	}{
		{lmkit.Request{Prompt: "what is", Target: "it is", Generate: 3}, "generate and target were given"},
		{lmkit.Request{Prompt: "what is", Generate: -1}, "generate is -1"},
		{lmkit.Request{Prompt: "what is", FoilAny: []string{"it"}}, "belongs to target_any"},
		{lmkit.Request{Prompt: "what is", TargetAny: []string{"it"}, Foil: "is"}, "give foil_any"},
		{lmkit.Request{Prompt: "what is", TargetAny: []string{"it", ""}}, "is empty"},
		{lmkit.Request{Prompt: "what is", TargetAny: []string{"it", "it"}}, "are the same token"},
		{lmkit.Request{Prompt: "what is", TargetAny: []string{"it", "capital of"}}, "a target is one"},
		{lmkit.Request{Prompt: "what is", TargetAny: []string{"it"}, Objective: explain.Logit}, "choose the objective prob"},
		{lmkit.Request{Prompt: "what is", Target: "the capital", Objective: explain.Contrast}, "there is no foil"},
		{lmkit.Request{Prompt: "what is", Target: "the capital", Objective: explain.Prob}, "choose logprob"},
		{lmkit.Request{Prompt: "what is", Target: "the capital", Foil: "the capital"}, "are the same"},
		{lmkit.Request{Prompt: "what is", Target: "the capital", Methods: []string{"attn-lrp"}}, "shares out logits"},
		{lmkit.Request{Prompt: "what is", Target: "the capital", Foil: "it", Methods: []string{"grad-attention"}},
			"the attention of one text"},
		{lmkit.Request{Prompt: "what is", Target: long}, "shorten the input by"},
		{lmkit.Request{IDs: []token.ID{1}, Target: "#1 #900"}, "outside the vocabulary"},
	} {
		_, err := test.r.Answer(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, should say %s", test.r, err, test.want)
		}
	}
	a, err := lmkit.Request{Prompt: "what is", Target: "the capital", Foil: "it"}.Answer(t.Context(), m)
	said := func(note string) bool { return strings.Contains(note, "for its length alone") }
	if err != nil || !slices.ContainsFunc(a.Notes, said) {
		t.Errorf("answers of different lengths: %v, %v", a, err)
	}
}

// Each row of the matrix of an answer is the explanation of one token after the input and the answer before it, by
// every method that can make it: the same scores, and the same promise. What comes after the token is 0.
func TestAnswerMatrix(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, info := range lmkit.Methods() {
			method := must(lmkit.Method(info.Name, lmkit.Settings{}))
			q := answered(answers[0], nil, objectiveFor(info))
			by := explain.PerToken{Method: method}
			if explain.Suits(by, m, q) != nil {
				continue
			}
			got, err := explain.ExplainMatrix(t.Context(), m, q, by)
			if err != nil {
				t.Errorf("%s, %s: %v", name, info.Name, err)
				continue
			}
			explaintest.CheckMatrix(t, got)
			if broken := got.Evidence.Broken(); len(broken) > 0 {
				t.Errorf("%s, %s: %v: %+v", name, info.Name, broken, got.Evidence)
			}
			spent := got.Cost.ForwardRows + got.Cost.BackwardRows
			if off := got.Cost.EstimatedRows - spent; off > 0 || info.Name != "integrated-gradients" && off != 0 {
				t.Errorf("%s, %s: %d rows were expected, and it took %d", name, info.Name, got.Cost.EstimatedRows, spent)
			}
			n := len(q.IDs)
			var tokens []*explain.Matrix
			for k, id := range answers[0] {
				one := answered([]token.ID{id}, nil, q.Objective)
				one.IDs = slices.Concat(q.IDs, answers[0][:k])
				want := ask(t, m, method, one)
				same(t, fmt.Sprintf("%s, %s, token %d", name, info.Name, k), got.Values[k][:n+k], want.Scores, 0.02)
				if slices.ContainsFunc(got.Values[k][n+k:], func(v float64) bool { return v != 0 }) {
					t.Errorf("%s, %s: token %d has %v", name, info.Name, k, got.Values[k])
				}
				if math.Abs(got.RowValues[k]-want.Value) > 1e-4 || want.Promise != nil &&
					math.Abs(got.Promise.Totals[k]-want.Promise.Total) > 1e-3 {
					t.Errorf("%s, %s: token %d has %v, should be %v", name, info.Name, k, got.RowValues[k], want.Value)
				}
				checkRowEvidence(t, m, one, got, k)
				tokens = append(tokens, must(explain.ExplainMatrix(t.Context(), m, one, by)))
			}
			checkJoined(t, name+", "+info.Name, tokens, got)
		}
	}
}

// Where no method is named, the matrix of an answer is by occlusion.
func TestAnswerMatrixMethod(t *testing.T) {
	for arch, m := range chatModels(t) {
		a, err := lmkit.Request{Prompt: "what is", Target: "the capital", Matrix: "answer"}.Answer(t.Context(), m)
		if err != nil || !strings.Contains(string(a.Matrix.Method.Settings), `"method":"occlusion"`) {
			t.Errorf("%s: %+v, %v", arch, a, err)
		}
	}
}

// checkRowEvidence fails unless what deleting the top column of a row does is what the model says.
func checkRowEvidence(t *testing.T, m *lm.Model, one explain.Question, got *explain.Matrix, k int) {
	t.Helper()
	e := got.Evidence.Rows[k]
	if e.Top < 0 {
		return
	}
	p, err := explain.Prepare(t.Context(), m, one)
	if err != nil {
		t.Fatal(err)
	}
	values, err := p.Values(t.Context(), []explain.Replacement{{Features: []int{e.Top}}})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.Value-values[0]-e.Drop) > 1e-4 {
		t.Errorf("without column %d row %d drops by %v, should by %v", e.Top, k, e.Drop, p.Value-values[0])
	}
}

// checkJoined fails unless the matrices of an answer's tokens, each asked for by itself, make that of the answer.
func checkJoined(t *testing.T, name string, tokens []*explain.Matrix, want *explain.Matrix) {
	t.Helper()
	got, err := explain.JoinTokens(tokens...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	explaintest.CheckMatrix(t, got)
	if !slices.Equal(got.Rows, want.Rows) || !slices.Equal(got.Columns, want.Columns) || got.Unit != want.Unit ||
		got.Objective != want.Objective || !slices.Equal(got.Answer, want.Answer) || got.InputHash != want.InputHash ||
		math.Abs(got.Value-want.Value) > 1e-4 || math.Abs(got.Base-want.Base) > 1e-4 {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
	for k := range want.Rows {
		same(t, fmt.Sprintf("%s, joined, token %d", name, k), got.Values[k], want.Values[k], 0.02)
		if g, w := got.Evidence.Rows[k], want.Evidence.Rows[k]; g.Top != w.Top || math.Abs(g.Drop-w.Drop) > 1e-4 {
			t.Errorf("%s, token %d: %+v, want %+v", name, k, g, w)
		}
	}
	if len(tokens) > 1 {
		if _, err := explain.JoinTokens(tokens[1], tokens[0]); err == nil {
			t.Errorf("%s: tokens in another order are joined", name)
		}
	}
}
