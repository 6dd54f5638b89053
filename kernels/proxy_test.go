package kernels

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/go-zeromq/zmq4"
)

// wire is a socket whose messages are handed to a function as they are sent.
type wire struct {
	zmq4.Socket
	sent func(*message)
}

func (w wire) SendMulti(m zmq4.Msg) error {
	parsed, err := parse(m.Frames, "key")
	if err == nil {
		w.sent(parsed)
	}
	return err
}

// A failure ends the cells that waited when it was told, and none that Jupyter sends after it has heard of it, however
// soon.
func TestCellsBehindAFailure(t *testing.T) {
	cell := func(id string, stop bool) *message {
		m, err := parse(request(id, "execute_request", map[string]any{"code": id, "stop_on_error": stop}).frames("key"),
			"key")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, stop := range []bool{true, false} {
		for _, magic := range []string{"", "%lmkit `\n"} {
			ctx, cancel := context.WithCancel(context.Background())
			p := &proxy{launch: &launch{}, waiting: map[string]chan *message{}, more: make(chan struct{}, 1)}
			first := cell("fails", stop)
			first.set("code", magic+"fails")
			replies := map[string]string{}
			p.front.iopub = &socket{Socket: wire{sent: func(*message) {}}, key: "key"}
			p.front.shell = &socket{key: "key", Socket: wire{sent: func(m *message) {
				replies[m.parent.ID] = m.text("status")
				switch m.parent.ID {
				case "fails":
					p.toShell(cell("after", stop))
				case "after":
					cancel()
				}
			}}}
			p.back.shell = &socket{key: "key", Socket: wire{sent: func(m *message) {
				status := "ok"
				if m.text("code") == "fails" {
					status = "error"
				}
				go p.fromShell(m.answer("execute_reply", map[string]any{"status": status, "execution_count": 1}))
			}}}
			for _, m := range []*message{first, cell("behind", stop), cell("behind too", stop)} {
				p.toShell(m)
			}
			p.work(ctx)
			behind := map[bool]string{true: "aborted", false: "ok"}[stop]
			var got, want []string
			for _, id := range []string{"fails", "behind", "behind too", "after"} {
				got = append(got, fmt.Sprint(id, ": ", replies[id]))
			}
			want = []string{"fails: error", "behind: " + behind, "behind too: " + behind, "after: ok"}
			if !slices.Equal(got, want) {
				t.Errorf("stop on error %v, magic %q: %q, want %q", stop, magic, got, want)
			}
		}
	}
}
