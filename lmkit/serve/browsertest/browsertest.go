// Package browsertest drives a real browser in tests of what people look at.
package browsertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/chromedp"
)

// Hanging is how long a step may take before it counts as hanging.
const Hanging = time.Hour

// Program is a browser of Chromium's family: the one that LMKIT_TEST_BROWSER names, or one in the usual places. Where
// there is none, the test is skipped.
func Program(t *testing.T) string {
	t.Helper()
	const key = "LMKIT_TEST_BROWSER"
	if named := os.Getenv(key); named != "" {
		program, err := exec.LookPath(named)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return program
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	t.Skipf("there is no browser: install chromium, or name a browser of its family in %s", key)
	return ""
}

// Open starts a browser, with a fresh profile.
func Open(t *testing.T, program string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU,
		chromedp.WindowSize(1200, 900), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(Hanging))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to run for root
	}
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(ctx)
	t.Cleanup(leave)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser %s does not start: %v", program, err)
	}
	return ctx
}

// Until waits for an expression to become true.
func Until(expression string) chromedp.Action[chromedp.Void] {
	// The context ends it: it has no time limit of its own.
	return chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(100*time.Millisecond),
		chromedp.WithPollingTimeout(0))
}

// Look takes a picture, which is kept where `go test -artifacts` says.
func Look(t *testing.T, ctx context.Context, name string, take chromedp.Action[[]byte]) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, Hanging)
	defer cancel()
	data, err := chromedp.Run(ctx, take)
	if err == nil {
		err = os.WriteFile(filepath.Join(t.ArtifactDir(), name), data, 0o644)
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return data
}

// Do takes steps, and fails the test with a picture where one cannot be taken. A page may replace what a step has found
// before the step acts on it: then it is taken again, as a person would click once more.
func Do(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, Hanging)
	defer cancel()
	for _, step := range steps {
		err := chromedp.Do(within, step)
		for replaced(err) {
			err = chromedp.Do(within, step)
		}
		if err != nil {
			Look(t, ctx, "failed.png", chromedp.CaptureScreenshot())
			t.Fatalf("cannot %s: %v", what, err)
		}
	}
}

// replaced reports whether an error says that an element is no longer part of the page.
func replaced(err error) bool {
	const serverError = -32000 // of JSON-RPC: what Chromium answers here
	var said *cdproto.Error
	return errors.As(err, &said) && said.Code == serverError && strings.Contains(said.Message, "node with given id")
}
