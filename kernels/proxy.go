package kernels

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
)

// proxy stands between Jupyter and GoNB: it owns Jupyter's sockets, hands messages on, and runs magics itself. One
// request at a time goes to GoNB; the others wait here, so that an error ends what was queued behind it.
type proxy struct {
	launch  *launch
	front   sockets // to Jupyter, bound
	back    sockets // to GoNB, dialed; none when GoNB cannot run
	problem error   // why GoNB cannot run: each cell says so

	mu        sync.Mutex
	waiting   map[string]chan *message // replies to what this proxy waits for
	cell      string                   // the ID of the running cell, if its magics were cut out
	code      string                   // and that cell as it was typed
	interrupt context.CancelFunc       // of the running magic
	queue     []*message
	stops     bool // whether a failure of the running cell ends the cells behind it
	more      chan struct{}
	alive     chan struct{} // closed when GoNB's outputs arrive
	once      sync.Once
	notice    string // said once, in the first cell
}

type sockets struct{ shell, control, stdin, iopub *socket }

// socket is a ZeroMQ socket that many may write to.
type socket struct {
	zmq4.Socket
	mu  sync.Mutex
	key string
}

func (s *socket) send(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What cannot be sent has no reader any more.
	_ = s.SendMulti(zmq4.NewMsgFrom(m.frames(s.key)...))
}

// each calls do with every message until the socket is closed.
func (s *socket) each(ctx context.Context, do func(*message)) {
	for ctx.Err() == nil {
		m, err := s.Recv()
		if err != nil {
			select { // a peer has gone: another one may come
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		if p, err := parse(m.Frames, s.key); err == nil {
			do(p)
		}
	}
}

// listen binds Jupyter's ports.
func (p *proxy) listen(ctx context.Context, c connection) error {
	p.front = sockets{
		shell: &socket{Socket: zmq4.NewRouter(ctx), key: c.Key}, control: &socket{Socket: zmq4.NewRouter(ctx), key: c.Key},
		stdin: &socket{Socket: zmq4.NewRouter(ctx), key: c.Key}, iopub: &socket{Socket: zmq4.NewPub(ctx), key: c.Key},
	}
	beat := zmq4.NewRep(ctx)
	for port, s := range map[int]zmq4.Socket{c.ShellPort: p.front.shell, c.ControlPort: p.front.control,
		c.StdinPort: p.front.stdin, c.IOPubPort: p.front.iopub, c.HBPort: beat} {
		if err := s.Listen(c.address(port)); err != nil {
			return fmt.Errorf("listen to Jupyter: %w", err)
		}
	}
	go func() {
		for ctx.Err() == nil {
			if m, err := beat.Recv(); err == nil {
				_ = beat.Send(m)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	return nil
}

// dial connects to GoNB, once it listens.
func (p *proxy) dial(ctx context.Context, c connection) error {
	if p.problem != nil {
		return nil
	}
	for _, port := range []int{c.ShellPort, c.ControlPort, c.StdinPort, c.IOPubPort} {
		for {
			if _, err := os.Stat(strings.TrimPrefix(c.address(port), "ipc://")); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	// GoNB asks for input on another socket than the one it was asked on: it must know both by one name.
	options := []zmq4.Option{zmq4.WithID(zmq4.SocketIdentity("lmkit")), zmq4.WithDialerRetry(10 * time.Millisecond)}
	p.back = sockets{
		shell:   &socket{Socket: zmq4.NewDealer(ctx, options...), key: c.Key},
		control: &socket{Socket: zmq4.NewDealer(ctx, options...), key: c.Key},
		stdin:   &socket{Socket: zmq4.NewDealer(ctx, options...), key: c.Key},
		iopub:   &socket{Socket: zmq4.NewSub(ctx, options[1:]...), key: c.Key},
	}
	for _, s := range []struct {
		*socket
		port int
	}{{p.back.shell, c.ShellPort}, {p.back.control, c.ControlPort}, {p.back.stdin, c.StdinPort}, {p.back.iopub,
		c.IOPubPort}} {
		if err := s.Dial(c.address(s.port)); err != nil {
			return fmt.Errorf("connect to gonb: %w", err)
		}
	}
	return p.back.iopub.SetOption(zmq4.OptionSubscribe, "")
}

// serve hands messages on until ctx ends. With a problem it answers them itself.
func (p *proxy) serve(ctx context.Context) {
	p.waiting, p.more, p.alive = map[string]chan *message{}, make(chan struct{}, 1), make(chan struct{})
	if p.problem == nil {
		go p.back.shell.each(ctx, p.fromShell)
		go p.back.iopub.each(ctx, p.fromIOPub)
		go p.back.control.each(ctx, p.front.control.send)
		go p.back.stdin.each(ctx, p.front.stdin.send)
		go p.front.stdin.each(ctx, p.back.stdin.send)
		p.wake(ctx)
	}
	go p.front.control.each(ctx, p.toControl)
	go p.front.shell.each(ctx, p.toShell)
	p.work(ctx)
}

// wake waits until GoNB's outputs come through, then runs the prelude.
func (p *proxy) wake(ctx context.Context) {
	for {
		p.ask(ctx, "kernel_info_request", map[string]any{})
		select {
		case <-p.alive:
			if r := p.own(ctx, p.launch.prelude(), false); r != nil && r.text("status") != "ok" {
				p.notice = "lmkit's packages could not be imported for you: " + r.text("evalue") + "\n"
			}
			return
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask sends GoNB a request of the proxy's own, and waits for the reply; nil at the end of ctx.
func (p *proxy) ask(ctx context.Context, kind string, content any) *message {
	return p.pass(ctx, request(ours+newID(), kind, content))
}

// ours begins the IDs of the proxy's own requests, of which Jupyter hears nothing.
const ours = "lmkit-"

// own runs code of the proxy's own.
func (p *proxy) own(ctx context.Context, code string, count bool) *message {
	return p.ask(ctx, "execute_request", map[string]any{"code": code, "silent": true, "store_history": count,
		"allow_stdin": false, "user_expressions": map[string]any{}, "stop_on_error": false})
}

// pass sends GoNB a request, and waits for the reply.
func (p *proxy) pass(ctx context.Context, m *message) *message {
	reply := make(chan *message, 1)
	p.mu.Lock()
	p.waiting[m.header.ID] = reply
	p.mu.Unlock()
	p.back.shell.send(m)
	select {
	case r := <-reply:
		return r
	case <-ctx.Done():
		return nil
	}
}

func (p *proxy) fromShell(m *message) {
	p.mu.Lock()
	reply := p.waiting[m.parent.ID]
	delete(p.waiting, m.parent.ID)
	p.mu.Unlock()
	if m.header.Type == "kernel_info_reply" {
		m.set("implementation", "lmkit")
		m.set("banner", banner)
	}
	if !strings.HasPrefix(m.parent.ID, ours) {
		p.reply(m)
	}
	if reply != nil {
		reply <- m
	}
}

func (p *proxy) fromIOPub(m *message) {
	p.once.Do(func() { close(p.alive) })
	if strings.HasPrefix(m.parent.ID, ours) {
		return
	}
	p.mu.Lock()
	code, edited := p.code, p.cell == m.parent.ID
	p.mu.Unlock()
	if edited && m.header.Type == "execute_input" {
		m.set("code", code)
	}
	p.front.iopub.send(m)
}

// toControl lets interrupts and shutdowns reach the running magic, too.
func (p *proxy) toControl(m *message) {
	switch m.header.Type {
	case "shutdown_request":
		p.launch.asked.Store(true)
		p.stop()
	case "interrupt_request":
		p.stop()
	}
	if p.problem == nil {
		p.back.control.send(m)
		return
	}
	p.refuse(p.front.control, m)
}

// stop interrupts the running magic.
func (p *proxy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interrupt != nil {
		p.interrupt()
	}
}

// serialised are the requests that are answered one after the other.
var serialised = []string{"execute_request", "complete_request", "inspect_request", "kernel_info_request",
	"history_request"}

// toShell queues what is serialised, and hands on the rest: a widget talks to a running cell.
func (p *proxy) toShell(m *message) {
	switch kind := m.header.Type; {
	case kind == "shutdown_request":
		p.toControl(m)
	case kind == "is_complete_request": // GoNB never answers it
		p.front.shell.send(m.answer("is_complete_reply", map[string]any{"status": "unknown"}))
	case kind == "comm_info_request": // nor this one
		p.front.shell.send(m.answer("comm_info_reply", map[string]any{"status": "ok", "comms": map[string]any{}}))
	case p.problem == nil && !slices.Contains(serialised, kind): // GoNB may never answer
		p.back.shell.send(m)
	default:
		p.mu.Lock()
		p.queue = append(p.queue, m)
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// next takes a request from the queue; nil at the end of ctx.
func (p *proxy) next(ctx context.Context) *message {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			m := p.queue[0]
			p.queue = p.queue[1:]
			p.mu.Unlock()
			return m
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *proxy) work(ctx context.Context) {
	for m := p.next(ctx); m != nil; m = p.next(ctx) {
		switch {
		case m.header.Type == "history_request": // GoNB never answers it
			p.history(m)
		case m.header.Type == "complete_request" && p.complete(ctx, m):
		case p.problem != nil:
			p.refuse(p.front.shell, m)
		case m.header.Type != "execute_request":
			p.pass(ctx, m)
		default:
			p.mu.Lock()
			p.stops = m.flag("stop_on_error", true)
			p.mu.Unlock()
			p.execute(ctx, m)
		}
	}
}

// history says that there is none. JupyterLab asks at the start, and knows by the status around the reply that the
// kernel is idle.
func (p *proxy) history(m *message) {
	p.status(m, "busy")
	p.front.shell.send(m.answer("history_reply", map[string]any{"status": "ok", "history": []any{}}))
	p.status(m, "idle")
}

// reply hands an answer to Jupyter. Where a cell failed, those that waited behind it are answered, too. They leave the
// queue before Jupyter hears of the failure: what it sends after that is new.
func (p *proxy) reply(m *message) {
	var behind []*message
	if m.header.Type == "execute_reply" && m.text("status") != "ok" {
		behind = p.behind()
	}
	p.front.shell.send(m)
	for _, b := range behind {
		p.status(b, "busy")
		p.front.shell.send(b.answer("execute_reply", map[string]any{"status": "aborted"}))
		p.status(b, "idle")
	}
}

// behind takes the cells off the queue that a failure ends.
func (p *proxy) behind() (cells []*message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stops {
		return nil
	}
	p.queue = slices.DeleteFunc(p.queue, func(m *message) bool {
		isCell := m.header.Type == "execute_request"
		if isCell {
			cells = append(cells, m)
		}
		return isCell
	})
	return cells
}

func (p *proxy) status(m *message, state string) {
	p.front.iopub.send(m.answer("status", map[string]any{"execution_state": state}))
}

// directory is where GoNB stands: a cell may have changed it.
func (p *proxy) directory() string {
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.launch.pid)); err == nil {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return dir
}
