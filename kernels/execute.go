package kernels

import (
	"context"
	"errors"
	"runtime"
	"strings"
)

// execute runs a cell.
func (p *proxy) execute(ctx context.Context, m *message) {
	if p.notice != "" {
		(&outputs{p, m}).stream("stderr", p.notice)
		p.notice = ""
	}
	typed := m.text("code")
	p.launch.remember(typed)
	magics, rest, err := split(typed)
	if len(magics) == 0 && err == nil {
		p.pass(ctx, m)
		return
	}
	p.status(m, "busy")
	alone := err != nil || strings.TrimSpace(rest) == ""
	count := any(nil)
	if alone {
		count = p.count(ctx, m, typed)
	}
	if err == nil {
		err = p.magics(ctx, m, magics)
	}
	if err == nil && !alone {
		p.mu.Lock()
		p.cell, p.code = m.header.ID, typed
		p.mu.Unlock()
		m.set("code", rest)
		p.pass(ctx, m)
		return
	}
	if !alone {
		count = p.count(ctx, m, typed)
	}
	p.finish(m, count, err)
}

// count has GoNB count a cell that it does not run.
func (p *proxy) count(ctx context.Context, m *message, typed string) any {
	silent := m.flag("silent", false)
	r := p.own(ctx, "", m.flag("store_history", !silent))
	if r == nil {
		return nil
	}
	n := r.body()["execution_count"]
	if !silent {
		p.front.iopub.send(m.answer("execute_input", map[string]any{"code": typed, "execution_count": n}))
	}
	return n
}

// magics runs the command, once for each magic line.
func (p *proxy) magics(ctx context.Context, m *message, all [][]string) error {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.interrupt = cancel
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.interrupt = nil
		p.mu.Unlock()
		cancel()
	}()
	for _, args := range all {
		if err := runMagic(ctx, p.launch.self, p.directory(), p.launch.commandEnv(), args, &outputs{p, m}); err != nil {
			return err
		}
	}
	return nil
}

// finish ends a cell that GoNB has not run.
func (p *proxy) finish(m *message, count any, err error) {
	reply := map[string]any{"status": "ok", "execution_count": count, "user_expressions": map[string]any{}}
	if err != nil {
		f := &failure{"lmkit", err.Error()}
		errors.As(err, &f)
		reply = map[string]any{"status": "error", "execution_count": count, "ename": f.name, "evalue": f.text,
			"traceback": []string{f.name + ": " + f.text}}
		p.front.iopub.send(m.answer("error", map[string]any{"ename": f.name, "evalue": f.text,
			"traceback": reply["traceback"]}))
	}
	p.reply(m.answer("execute_reply", reply))
	p.status(m, "idle")
}

// outputs is a cell as Jupyter shows it.
type outputs struct {
	p *proxy
	m *message
}

func (o *outputs) stream(name, text string) {
	o.p.front.iopub.send(o.m.answer("stream", map[string]any{"name": name, "text": text}))
}

func (o *outputs) display(id string, data, metadata map[string]any, again bool) {
	if metadata == nil {
		metadata = map[string]any{}
	}
	kind := "display_data"
	if again {
		kind = "update_display_data"
	}
	o.p.front.iopub.send(o.m.answer(kind, map[string]any{"data": data, "metadata": metadata,
		"transient": map[string]any{"display_id": id}}))
}

const banner = "Go notebooks with lmkit, on GoNB. %lmkit help lists the commands."

// refuse answers a request when GoNB cannot run: a cell says why, and what cures it.
func (p *proxy) refuse(s *socket, m *message) {
	p.status(m, "busy")
	defer p.status(m, "idle")
	at := m.body()["cursor_pos"]
	switch m.header.Type {
	case "kernel_info_request":
		s.send(m.answer("kernel_info_reply", map[string]any{"status": "ok", "protocol_version": "5.4",
			"implementation":         "lmkit",
			"implementation_version": "0", "banner": banner, "help_links": []any{},
			"language_info": map[string]any{"name": "go", "version": runtime.Version(), "mimetype": "text/x-go",
				"file_extension": ".go"}}))
	case "execute_request":
		f := &failure{"lmkit", p.problem.Error() + "; then restart the kernel"}
		p.front.iopub.send(m.answer("error", map[string]any{"ename": f.name, "evalue": f.text,
			"traceback": []string{f.text}}))
		s.send(m.answer("execute_reply", map[string]any{"status": "error", "execution_count": 0, "ename": f.name,
			"evalue": f.text, "traceback": []string{f.text}}))
	case "complete_request":
		s.send(m.answer("complete_reply", map[string]any{"status": "ok", "matches": []any{}, "cursor_start": at,
			"cursor_end": at, "metadata": map[string]any{}}))
	case "inspect_request":
		s.send(m.answer("inspect_reply", map[string]any{"status": "ok", "found": false, "data": map[string]any{},
			"metadata": map[string]any{}}))
	case "interrupt_request":
		s.send(m.answer("interrupt_reply", map[string]any{"status": "ok"}))
	case "shutdown_request":
		s.send(m.answer("shutdown_reply", map[string]any{"status": "ok", "restart": m.flag("restart", false)}))
		p.launch.quit()
	}
}
