// Package progress is how slow work tells how far it has come: a function that hears events, which is handed down to
// the work as a setting or in a context. A command draws a line of them, a server sends them, and nobody need listen.
package progress

import "context"

// The units of work that are shown in a way of their own; any other is the plural of what is counted, such as "steps".
const (
	Bytes = "bytes"
	Steps = "steps"
	Rows  = "rows" // of tokens through a model; one counts once forward, and once backward where gradients are asked for
)

// Event says how far a piece of work has come. Events of the same What belong to the same piece.
type Event struct {
	What  string `json:"what"`           // the work in a few words, such as "downloading the XLA plugin"
	Done  int64  `json:"done"`           // how many units are done
	Total int64  `json:"total"`          // how many there are in all; 0: not known
	Unit  string `json:"unit,omitempty"` // of Done and Total; "": nothing is counted, the event only says what has begun
	// Seconds is how long the Done units took, without what is not repeated for the others, such as compiling; 0: that
	// is not known. The others will take about Seconds * (Total-Done) / Done.
	Seconds float64 `json:"seconds,omitempty"`
	// Ahead is, before the first unit is done, how many seconds all of them may take, about; 0: that is not known.
	Ahead float64 `json:"ahead,omitempty"`
}

// Func hears events. A nil Func is nobody, and its methods do nothing.
type Func func(Event)

// Begin says that work has begun whose extent is not known.
func (f Func) Begin(what string) { f.Tell(Event{What: what}) }

// Tell passes an event on.
func (f Func) Tell(e Event) {
	if f != nil {
		f(e)
	}
}

// At says that done of total units of the work are done.
func (f Func) At(what string, done, total int64, unit string) {
	f.Tell(Event{What: what, Done: done, Total: total, Unit: unit})
}

// key is where a context holds its Func.
type key struct{}

// With returns a context under which work tells f how far it has come. It is for work that lies too deep under a call
// to be handed a Func: what runs a model. f is called from the goroutine that made the call, and never after it
// returned.
func With(ctx context.Context, f Func) context.Context { return context.WithValue(ctx, key{}, f) }

// From returns the Func that a context holds, or nobody.
func From(ctx context.Context) Func {
	f, _ := ctx.Value(key{}).(Func)
	return f
}
