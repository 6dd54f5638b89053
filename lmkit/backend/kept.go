package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"lmkit.internal/lmkit/internal/compiled"
)

// keep has the programs of a plugin kept that is about to be opened, or says why they are not. How a process first
// opens a plugin decides for good.
func keep(ctx context.Context, file string) (*compiled.Cache, error) {
	opening.Lock()
	defer opening.Unlock()
	if d, ok := decided[file]; ok {
		return d.programs, d.unkept
	}
	c, err := programs(ctx, file)
	if err == nil {
		err = compiled.Install(file, c)
	}
	if err != nil {
		c = nil
	}
	if ctx.Err() == nil {
		decided[file] = decision{c, err}
	}
	return c, err
}

// decided are the plugins that this process has opened.
var (
	opening sync.Mutex
	decided = map[string]decision{}
)

type decision struct {
	programs *compiled.Cache
	unkept   error
}

// programs opens the cache for a plugin's programs. A plugin whose programs cannot be stored and loaded again may end
// the process, so a child tries it first, once for a setting.
func programs(ctx context.Context, file string) (*compiled.Cache, error) {
	if !compiled.Works {
		return nil, errors.New("that takes Linux, and a program that has XLA in it")
	}
	if os.Getenv(compiled.Env) == "off" {
		return nil, compiled.ErrOff
	}
	if strings.Contains(os.Getenv(envFlags), callsOneDNN) {
		return nil, fmt.Errorf("%s has %s, and programs that call oneDNN cannot be stored", envFlags, callsOneDNN)
	}
	k, err := known(file)
	if err != nil {
		return nil, err
	}
	if k.SHA256 == "" {
		if err := k.learn(ctx); err != nil {
			return nil, err
		}
	}
	setting, err := setting(k.SHA256)
	if err != nil {
		return nil, err
	}
	c, err := compiled.Open(setting...)
	if err != nil {
		return nil, err
	}
	works, tried := k.Keeps[c.Setting()]
	if !tried && !probing {
		return nil, errors.New("the plugin was not tried yet, which lmkit doctor does")
	}
	if !tried {
		if works, err = triesKeeping(ctx, file); err != nil {
			return nil, err
		}
		k.Keeps[c.Setting()] = works
		k.remember()
	}
	if !works {
		return nil, fmt.Errorf("the plugin's programs cannot be stored and loaded again with %s=%q", envFlags,
			os.Getenv(envFlags))
	}
	return c, nil
}

// setting is what decides, besides a program, what it is compiled to: the plugin, by its checksum, its flags and
// threads, and the processor.
func setting(plugin string) ([]string, error) {
	processor, err := compiled.Processor()
	if err != nil {
		return nil, err
	}
	threads := os.Getenv(envThreads)
	if threads == "" {
		threads = strconv.Itoa(runtime.NumCPU()) // as the plugin counts
	}
	return []string{plugin, os.Getenv(envFlags), threads, runtime.GOARCH, processor}, nil
}

// envKeeping has the child of a probe store its program, or load the one that was stored.
const (
	envKeeping = "LMKIT_PROBE_KEEPING"
	storing    = "store"
	loading    = "load"
)

var triesKeeping = probeKeeping // tests answer themselves

// probeKeeping has a child store a program, and another one load it.
func probeKeeping(ctx context.Context, plugin string) (works bool, err error) {
	folder, err := os.MkdirTemp("", "lmkit-programs-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(folder)
	// On a full disk nothing can be learned of the plugin.
	if err := os.WriteFile(filepath.Join(folder, "room"), make([]byte, 1<<20), 0o600); err != nil {
		return false, err
	}
	for _, step := range []string{storing, loading} {
		works, err = probe(ctx, plugin, compiled.Env+"="+folder, envKeeping+"="+step)
		if !works || err != nil {
			return false, err
		}
	}
	return true, nil
}
