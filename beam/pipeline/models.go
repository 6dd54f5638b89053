package pipeline

import (
	"context"
	"sync"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
)

// Opening says what a model runs on. The zero value follows the environment.
type Opening struct {
	Engine string // see backend.Options.Name
	Held   lm.Options
}

// called is a model of a name.
type called struct {
	Opening
	name string
}

// opened is a model of this process: each is opened once, however many steps and threads ask for it, and works for one
// of them at a time, on all cores and with the memory of one.
type opened struct {
	sync.Mutex
	model *lm.Model
}

var (
	models     = map[called]*opened{}
	modelsLock sync.Mutex
)

func (o Opening) opened(name string) *opened {
	modelsLock.Lock()
	defer modelsLock.Unlock()
	key := called{o, name}
	if models[key] == nil {
		models[key] = &opened{}
	}
	return models[key]
}

// model returns a model, which it opens if need be.
func (o Opening) model(ctx context.Context, name string) (m *lm.Model, err error) {
	err = o.with(ctx, name, func(opened *lm.Model) error {
		m = opened
		return nil
	})
	return m, err
}

// with gives a model to work, and to nobody else until it returns.
func (o Opening) with(ctx context.Context, name string, work func(*lm.Model) error) error {
	x := o.opened(name)
	x.Lock()
	defer x.Unlock()
	if x.model == nil {
		e, err := backend.Open(ctx, backend.Options{Name: o.Engine})
		if err != nil {
			return err
		}
		if x.model, err = lmkit.OpenOn(ctx, e, name, o.Held); err != nil {
			return err
		}
	}
	return work(x.model)
}

// forget closes a model that is open.
func (o Opening) forget(name string) {
	x := o.opened(name)
	x.Lock()
	defer x.Unlock()
	if x.model != nil {
		x.model.Close()
		x.model = nil
	}
}
