package serve

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"lmkit.internal/lmkit/serve/browsertest"
)

var look = flag.String("look", "", "the address of a running lmkit serve smollm2, of which TestPictures draws the page")

// The pictures of the page in docs are of a real model, which a test does not start by itself:
//
//	lmkit serve smollm2 --no-browser
//	go test ./lmkit/serve -run TestPictures -look http://127.0.0.1:8017
func TestPictures(t *testing.T) {
	if *look == "" {
		t.Skip("-look says where lmkit serve smollm2 runs; this draws the pictures in docs anew")
	}
	ctx := browsertest.Open(t, browsertest.Program(t))
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		browsertest.Do(t, ctx, what, steps...)
	}
	address := strings.TrimRight(*look, "/")
	ask := func(as, text string) (entry string) {
		t.Helper()
		do("ask", chromedp.Navigate(address), chromedp.WaitVisible("#prompt"), chromedp.SetValue("#prompt", text),
			chromedp.Click(`input[value="`+as+`"]`), chromedp.Click(".ask button"))
		do("see the answer", chromedp.WaitVisible(".answer a"), contains(".ended", "Choose a token"))
		entry, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
		if err != nil {
			t.Fatal(err)
		}
		return entry
	}
	show := func(name, url string, width, height int64) {
		t.Helper()
		do("show "+name, chromedp.EmulateViewport(width, height), chromedp.Navigate(url),
			chromedp.WaitVisible("#why .files"), scrolled)
		data := browsertest.Look(t, ctx, name, chromedp.CaptureScreenshot())
		if err := os.WriteFile(filepath.Join("..", "..", "docs", "pictures", name), data, 0o644); err != nil {
			t.Error(err)
		}
	}
	why := ask("chat", "What is the capital of Australia?") + "/t/5?method=occlusion&by=word"
	patch := ask("text", "The capital of France is") +
		"/t/0?other=The+capital+of+Germany+is&inside=patch&here=3&there=3"
	show("serve.png", why, 1000, 1240)
	show("serve-phone.png", why, 390, 844)
	show("serve-patch.png", patch, 1000, 1500)
	do("see it in the dark", dark)
	show("serve-dark.png", patch, 1000, 1500)
}

// scrolled shows the explanation's two texts at the top, where there are any.
func scrolled(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	return chromedp.Evaluate[chromedp.Void](`void document.querySelector(".pair")?.scrollIntoView()`)(ctx, t)
}
