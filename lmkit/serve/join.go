package serve

import (
	"context"
	"slices"
	"sync"

	"lmkit.internal/lmkit/lm"
)

// joint joins the scores of one model that wait: the first whose turn comes computes them all in one go. A text's score
// does not depend on what else is in its batch, to the bit, so that nobody can tell.
type joint struct {
	mu      sync.Mutex
	waiting []*wanted
}

// wanted is what one request wants to know.
type wanted struct {
	texts  []lm.Passage
	scores []lm.Score
	err    error
	done   chan struct{} // closed when the scores are there
}

// take takes all that wait.
func (j *joint) take() []*wanted {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.waiting
	j.waiting = nil
	return all
}

func (j *joint) add(w *wanted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(j.waiting, w)
}

// leave takes out one that nobody waits for any more.
func (j *joint) leave(w *wanted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = slices.DeleteFunc(j.waiting, func(x *wanted) bool { return x == w })
}

// scores are those of some texts, computed together with others that wait.
func (s *Server) scores(ctx context.Context, m Model, texts []lm.Passage) ([]lm.Score, error) {
	j := s.joints[m.Name]
	mine := &wanted{texts: texts, done: make(chan struct{})}
	j.add(mine)
	defer j.leave(mine)
	err := s.work(ctx, func(ctx context.Context) error {
		s.scoreAll(ctx, m, j.take())
		select {
		case <-mine.done:
			return mine.err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return mine.scores, err
}

// scoreAll computes what several requests want. Where it is more than one, it goes on when one of their clients leaves.
func (s *Server) scoreAll(ctx context.Context, m Model, all []*wanted) {
	if len(all) == 0 {
		return // another one took ours
	}
	if len(all) > 1 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(context.WithoutCancel(ctx), s.config.Limits.Time)
		defer stop()
	}
	var texts []lm.Passage
	for _, w := range all {
		texts = append(texts, w.texts...)
	}
	scores, cost, err := m.Score(ctx, texts)
	s.count.rows(cost.ForwardRows, cost.BackwardRows)
	s.count.batch()
	for _, w := range all {
		if w.err = err; err == nil {
			w.scores, scores = scores[:len(w.texts):len(w.texts)], scores[len(w.texts):]
		}
		close(w.done)
	}
}
