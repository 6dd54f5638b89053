package browsertest_test

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"lmkit.internal/lmkit/serve/browsertest"
)

// What a page replaces between finding and clicking is found and clicked once more.
func TestReplaced(t *testing.T) {
	ctx := browsertest.Open(t, browsertest.Program(t))
	browsertest.Do(t, ctx, "open a page", chromedp.Navigate("data:text/html,<div id=box></div>"))
	found := 0
	forget := func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		make := chromedp.Evaluate[chromedp.Void](`box.innerHTML = "<button onclick='done = 1'>here</button>"; undefined`)
		if _, err := make(ctx, target); err != nil {
			return chromedp.Void{}, err
		}
		nodes, err := chromedp.Nodes("button")(ctx, target)
		if err != nil {
			return chromedp.Void{}, err
		}
		if found++; found == 1 {
			if _, err := chromedp.Evaluate[chromedp.Void](`box.innerHTML = ""; undefined`)(ctx, target); err != nil {
				return chromedp.Void{}, err
			}
		}
		return chromedp.MouseClickNode(nodes[0])(ctx, target)
	}
	browsertest.Do(t, ctx, "click", forget)
	browsertest.Do(t, ctx, "see it", browsertest.Until("window.done === 1"))
	if found != 2 {
		t.Errorf("found %d times", found)
	}
}
