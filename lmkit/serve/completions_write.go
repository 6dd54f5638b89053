package serve

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// whole answers with texts as one JSON object.
func (c *completing) whole(ctx context.Context, w http.ResponseWriter, prompts [][]token.ID) error {
	texts, chats, used := []TextChoice{}, []ChatChoice{}, Usage{}
	for _, ids := range prompts {
		used.Prompt += len(ids)
		for n := range or(valueOf(c.N), 1) {
			g, err := c.text(ctx, ids, n, func(GeneratedToken) {})
			if err != nil {
				return err
			}
			used.Completion += len(g.Tokens)
			var tops [][]likely
			if c.top >= 0 {
				if tops, err = c.tops(ctx, c.model, ids, g.Tokens, c.top); err != nil {
					return err
				}
			}
			ended, at := finishes[g.Ended], c.echoed(ids)
			texts = append(texts, TextChoice{len(texts), at + g.Text, some(ended), c.textLogProbs(g.Tokens, tops, at)})
			chats = append(chats, ChatChoice{len(chats), ChatSaid{Role: "assistant", Content: g.Text}, some(ended),
				c.chatLogProbs(g.Tokens, tops)})
		}
	}
	used.Total = used.Prompt + used.Completion
	var answer any = Completion{"cmpl-" + c.id, "text_completion", c.created, c.model.Name, texts, &used}
	if c.chat {
		answer = ChatCompletion{"chatcmpl-" + c.id, "chat.completion", c.created, c.model.Name, chats, &used}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

// some is a nullable that is there.
func some[T any](v T) nullable[T] { return nullable[T]{&v} }

// echoed is the prompt, where it was asked for before the text.
func (c *completing) echoed(ids []token.ID) string {
	if !c.Echo || c.model.Tokenizer() == nil {
		return ""
	}
	text, err := c.model.Tokenizer().Decode(ids)
	if err != nil {
		return ""
	}
	return text
}

// piece is what one event of a stream holds.
type piece struct {
	role, text string
	token      *GeneratedToken // that the text comes of, if it is one
	ended      nullable[Finish]
	used       *Usage // of the last one, which has no choice
}

// chunk is a piece in those clients' form.
func (c *completing) chunk(p piece) any {
	var tokens []GeneratedToken
	var tops [][]likely
	if p.token != nil {
		tokens, tops = []GeneratedToken{*p.token}, make([][]likely, 1)
	}
	if !c.chat {
		choices := []TextChoice{{0, p.text, p.ended, c.textLogProbs(tokens, tops, "")}}
		if p.used != nil {
			choices = choices[:0]
		}
		return Completion{"cmpl-" + c.id, "text_completion", c.created, c.model.Name, choices, p.used}
	}
	delta := ChatDelta{Role: p.role}
	if p.text != "" || p.role != "" {
		delta.Content = &p.text
	}
	choices := []ChatPiece{{0, delta, p.ended, c.chatLogProbs(tokens, tops)}}
	if p.used != nil {
		choices = choices[:0]
	}
	return ChatChunk{"chatcmpl-" + c.id, "chat.completion.chunk", c.created, c.model.Name, choices, p.used}
}

// stream sends a text in pieces, as it comes, and [DONE].
func (c *completing) stream(ctx context.Context, w http.ResponseWriter, ids []token.ID) error {
	out := newEvents(ctx, w)
	send := func(p piece) { out.data(c.chunk(p)) }
	if c.chat {
		send(piece{role: "assistant"})
	}
	if text := c.echoed(ids); text != "" {
		send(piece{text: text})
	}
	said := 0
	g, err := c.text(out.ctx, ids, 0, func(t GeneratedToken) {
		said += len(t.Text)
		send(piece{text: t.Text, token: &t})
	})
	if err != nil {
		out.data(theirs(refusal(err)))
		return nil
	}
	if rest := g.Text[said:]; rest != "" {
		send(piece{text: rest})
	}
	send(piece{ended: some(finishes[g.Ended])})
	if c.Options.Usage {
		send(piece{used: &Usage{len(ids), len(g.Tokens), len(ids) + len(g.Tokens)}})
	}
	out.write("data: [DONE]\n\n")
	return nil
}

// data sends an event without a name.
func (e *events) data(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		e.write("data: " + string(b) + "\n\n")
	}
}

// likely is a token that could stand at a place.
type likely struct {
	ID      token.ID
	LogProb float64 // nats
}

// chatLogProbs are the log-probabilities of tokens and of the likeliest ones at their places; null where they were not
// asked for, or there are no tokens.
func (c *completing) chatLogProbs(tokens []GeneratedToken, tops [][]likely) (none nullable[ChatLogProbs]) {
	if !c.chat || c.top < 0 || tops == nil {
		return none
	}
	out := ChatLogProbs{Content: []ChatToken{}}
	for i, t := range tokens {
		one := ChatToken{c.named(likely{t.ID, t.LogProb}), []LikelyToken{}}
		for _, l := range tops[i] {
			one.Top = append(one.Top, c.named(l))
		}
		out.Content = append(out.Content, one)
	}
	return some(out)
}

// textLogProbs are the same in the form of a completion, whose text begins with the prompt if that was asked for.
func (c *completing) textLogProbs(
	tokens []GeneratedToken, tops [][]likely, prompt string,
) (none nullable[TextLogProbs]) {
	if c.chat || c.top < 0 || tops == nil {
		return none
	}
	out := TextLogProbs{[]string{}, []float64{}, []map[string]float64{}, []int{}}
	at := len([]rune(prompt))
	for i, t := range tokens {
		here := map[string]float64{}
		for _, l := range tops[i] {
			here[c.model.TokenText(l.ID)] = l.LogProb
		}
		out.Tokens, out.Probs = append(out.Tokens, c.model.TokenText(t.ID)), append(out.Probs, t.LogProb)
		out.Top, out.Offsets = append(out.Top, here), append(out.Offsets, at)
		at += len([]rune(t.Text))
	}
	return some(out)
}

// named is a token as those clients read one.
func (c *completing) named(l likely) LikelyToken {
	text := c.model.TokenText(l.ID)
	bytes := []int{}
	for _, b := range []byte(text) {
		bytes = append(bytes, int(b))
	}
	return LikelyToken{text, l.LogProb, bytes}
}

// tops are the k likeliest tokens at the place of each token of a text.
func (s *Server) tops(
	ctx context.Context, m Model, ids []token.ID, tokens []GeneratedToken, k int,
) (all [][]likely, err error) {
	all = make([][]likely, len(tokens))
	if k == 0 || len(tokens) == 0 {
		return all, nil
	}
	row := slices.Clone(ids)
	for _, t := range tokens[:len(tokens)-1] {
		row = append(row, t.ID)
	}
	return all, s.places(ctx, m, row, len(tokens), func(i int, logProbs []float32) { all[i] = largest(logProbs, k) })
}

// places reads the log-probabilities of what comes at the last n places of a row: after each of its last n tokens. They
// come off the residuals of one run, a few places at a time, so that they take little memory, and are read's for the
// time of its call.
func (s *Server) places(
	ctx context.Context, m Model, row []token.ID, n int, read func(i int, logProbs []float32),
) error {
	return s.work(ctx, func(ctx context.Context) error {
		tap := lastResidual(m.Model)
		a, err := m.Run(ctx, lm.Query{Rows: [][]token.ID{row}, Taps: []lm.Tap{tap}})
		if err != nil {
			return err
		}
		s.count.rows(a.Cost.ForwardRows, 0)
		x := a.At[tap].Index(0) // [T, D]
		D := x.Dims[1]
		x = lm.Array{Dims: []int{n, D}, Data: x.Data[(len(row)-n)*D : len(row)*D]}
		return m.Unembed(ctx, x, func(i int, logits []float32) error {
			lm.LogSoftmax(logits)
			read(i, logits)
			return nil
		})
	})
}

// lastResidual is what the final norm and the output matrix read.
func lastResidual(m *lm.Model) (last lm.Tap) {
	for _, t := range m.Taps() {
		state := strings.Contains(t.Name, ".state.")
		if strings.HasSuffix(t.Name, ".resid.post") || strings.HasSuffix(t.Name, ".hidden") && !state {
			last = t.Name
		}
	}
	return last
}

// largest are the k largest log-probabilities, of equal ones the first tokens.
func largest(logProbs []float32, k int) (top []likely) {
	for id, p := range logProbs {
		i := len(top)
		for i > 0 && float64(p) > top[i-1].LogProb {
			i--
		}
		if i >= k {
			continue
		}
		top = slices.Insert(top, i, likely{token.ID(id), math.Max(float64(p), -math.MaxFloat32)})
		top = top[:min(k, len(top))]
	}
	return top
}
