// Package progress is how slow work tells how far it has come.
package progress

// The units of work that are shown in a way of their own; any other is the plural of what is counted, such as "steps".
const (
	Bytes = "bytes"
	Steps = "steps"
)

// Event says how far a piece of work has come. Events of the same What belong to the same piece.
type Event struct {
	What  string `json:"what"`           // the work in a few words, such as "downloading the XLA plugin"
	Done  int64  `json:"done"`           // how many units are done
	Total int64  `json:"total"`          // how many there are in all; 0: not known
	Unit  string `json:"unit,omitempty"` // of Done and Total; "": nothing is counted, the event only says what has begun
}

// Func hears events. A nil Func is nobody, and its methods do nothing.
type Func func(Event)

// Begin says that work has begun whose extent is not known.
func (f Func) Begin(what string) {
	if f != nil {
		f(Event{What: what})
	}
}

// At says that done of total units of the work are done.
func (f Func) At(what string, done, total int64, unit string) {
	if f != nil {
		f(Event{What: what, Done: done, Total: total, Unit: unit})
	}
}
