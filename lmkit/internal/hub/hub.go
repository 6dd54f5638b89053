// Package hub finds models by name: it fetches them once, and reads what other programs have fetched.
package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"lmkit.internal/lmkit/progress"
)

// Options says what may be done to find a model.
type Options struct {
	Revision string        // of a model hf:OWNER/NAME: a branch, a tag or a commit; "": main
	Offline  bool          // forbids every use of the network
	Progress progress.Func // hears of downloads
}

// Find returns the file or folder of a model, which is fetched where it is not at hand. A name is smollm2 or
// hf:OWNER/NAME; hf:OWNER/NAME/FILE.gguf is one file of such a model. Anything else is a path already, as is smollm2
// where there is a file or folder of that name.
func Find(ctx context.Context, name string, o Options) (path string, err error) {
	return get(ctx, name, o, false)
}

// Pull fetches a model by name as it is now: of one that is at hand, what has changed since.
func Pull(ctx context.Context, name string, o Options) (path string, err error) {
	if _, is := parse(name); !is && name != SmolLM2 {
		return "", fmt.Errorf("%q is not a model that can be fetched: give %s or hf:OWNER/NAME", name, SmolLM2)
	}
	return get(ctx, name, o, true)
}

func get(ctx context.Context, name string, o Options, anew bool) (path string, err error) {
	m, is := parse(name)
	switch {
	case is && o.Revision != "":
		m.revision = o.Revision
	case o.Revision != "":
		return "", fmt.Errorf("a revision belongs to a model hf:OWNER/NAME, not to %q", name)
	}
	switch {
	case is:
		path, err = m.find(ctx, o, anew)
	case name == SmolLM2 && (anew || !exists(name)):
		path, err = findSmolLM2(ctx, o)
	default:
		return name, nil
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return "", fmt.Errorf("model %s: %w", name, err)
	}
	return path, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// parse takes a name hf:OWNER/NAME, hf:OWNER/NAME/FILE or either with @REVISION apart.
func parse(name string) (m repo, is bool) {
	rest, is := strings.CutPrefix(name, "hf:")
	if !is {
		return repo{}, false
	}
	rest, m.revision, _ = strings.Cut(rest, "@")
	m.owner, rest, _ = strings.Cut(rest, "/")
	m.name, m.file, _ = strings.Cut(rest, "/")
	if m.revision == "" {
		m.revision = "main"
	}
	return m, true
}
