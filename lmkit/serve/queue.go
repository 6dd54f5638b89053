package serve

import (
	"context"
	"errors"
	"sync/atomic"
)

// errBusy says that too many requests wait already.
var errBusy = errors.New("too many requests wait for the models: come again in a few seconds")

// timeUp is the end of the time that a request has.
type timeUp struct{ error }

// queue lets so many pieces of work run at a time, in the order in which they came, and so many more wait.
type queue struct {
	turns   chan struct{} // one token for each piece that runs
	waiting atomic.Int64
	most    int64 // that wait
}

func newQueue(running, waiting int) *queue {
	return &queue{turns: make(chan struct{}, running), most: int64(waiting)}
}

// enter waits for a turn. The work is done when leave is called.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-q.turns }
	select {
	case q.turns <- struct{}{}:
		return leave, nil
	default:
	}
	if q.waiting.Add(1) > q.most {
		q.waiting.Add(-1)
		return nil, errBusy
	}
	defer q.waiting.Add(-1)
	select {
	case q.turns <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
