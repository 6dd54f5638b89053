package kernels

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Settings say how an installed kernel runs. They stand in its kernel.json as arguments of the command.
type Settings struct {
	Checkout string // the folder of lmkit's module: cells import it as it is
	Engine   string // what the cells compute on: xla:cpu, xla:cuda or go
	Plugin   string // the PJRT plugin found when the kernel was installed; may be empty
	Go       string // the go program, for when it is not in PATH
	Tools    string // the folder of gonb, goimports and gopls
}

// Run is a kernel from its start to its end: it starts GoNB and stands between it and Jupyter, whose connection file it
// is given. A machine that cannot run GoNB any more is no error: each cell then says what is wrong and what cures it.
func (s Settings) Run(ctx context.Context, connectionFile string) error {
	front, err := readConnection(connectionFile)
	if err != nil {
		return err
	}
	// An interrupt ends a cell, never the kernel.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	interrupts, ends := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(ends, syscall.SIGTERM)
	adopt()
	l, err := newLaunch(s, cancel)
	if err != nil {
		return err
	}
	p := &proxy{launch: l, problem: s.Problem()}
	if err := p.listen(ctx, front); err != nil {
		return err
	}
	var ended <-chan error
	var back connection
	if p.problem == nil {

		if back, ended, err = l.start(connectionFile, front); err != nil {
			return err
		}
		defer l.clean()
	}
	served := make(chan error, 1)
	go func() {
		err := p.dial(ctx, back)
		if err == nil {
			p.serve(ctx)
		}
		served <- err
	}()
	for {
		select {
		case <-interrupts:
			p.stop()
			l.signal(os.Interrupt)
		case <-ends:
			p.stop()
			l.signal(syscall.SIGTERM)
			if ended == nil {
				cancel()
			}
		case err := <-ended:
			p.stop()
			cancel()
			<-served    // a training that was interrupted saves its checkpoint
			endFamily() // gopls, and a cell, if GoNB was killed
			if err != nil && !l.asked.Load() {
				return fmt.Errorf("gonb ended: %w; restart the kernel", err)
			}
			return nil
		case err := <-served:
			return err
		}
	}
}
