package serve

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"lmkit.internal/lmkit/serve/browsertest"
)

// In a real browser somebody asks, watches the answer being written, points at a token, chooses another method and
// another foil, takes the link along, and opens it again; and does the same without a mouse. The browser has nothing to
// complain of, and the pictures are kept where `go test -artifacts` says: light, dark, and on a phone.
func TestBrowser(t *testing.T) {
	program := browsertest.Program(t)
	s := server(t, Config{})
	l := httptest.NewServer(s)
	defer l.Close()
	ctx := browsertest.Open(t, program)
	said := complaints(ctx)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		browsertest.Do(t, ctx, what, steps...)
	}
	const token = `.answer a:nth-of-type(2)`
	do("open the page", chromedp.Navigate(l.URL), chromedp.WaitVisible("#prompt"))
	do("ask", chromedp.SendKeys("#prompt", "what is the capital"), chromedp.Click(`input[value="text"]`),
		chromedp.Click(".ask button"))
	do("see the answer", chromedp.WaitVisible(token), contains(".ended", "Choose a token"))
	do("ask why", chromedp.Click(token), chromedp.WaitVisible("#why article"), contains("#why", "completeness"),
		browsertest.Until(`location.pathname.endsWith("/t/1")`), chromedp.WaitVisible(token+`[aria-current]`))
	do("ask why the whole answer", chromedp.Click(".whole a"), contains("#why", "Why this answer?"),
		chromedp.WaitVisible("#why article"), browsertest.Until(`location.pathname.endsWith("/t/answer")`))
	browsertest.Look(t, ctx, "answer.png", chromedp.FullScreenshot(100))
	do("look inside", chromedp.Click(token), contains("#why article", "completeness"),
		chromedp.SetValue("#inside", "direct"), chromedp.Click(".how button"),
		browsertest.Until(`location.search.includes("direct")`), contains("#why", "what writes the"))
	browsertest.Look(t, ctx, "direct.png", chromedp.FullScreenshot(100))
	do("ask with other words", chromedp.SetValue("#prompt", "what is the capitaz"), chromedp.Click(".ask button"))
	do("see what was before", chromedp.WaitVisible(`.entry .lmkit-note q`),
		contains(".entry", "Before the change of words"), contains(".ended", "Choose a token"))
	do("compare the words", chromedp.Click(token), contains(".alternatives", "after the other text"),
		chromedp.WaitVisible("#why article"))
	browsertest.Look(t, ctx, "words.png", chromedp.FullScreenshot(100))
	do("look at the first token", chromedp.Click(`.answer a:nth-of-type(1)`), chromedp.WaitVisible("#why article"),
		browsertest.Until(`location.pathname.endsWith("/t/0")`))
	do("point at a token of this text", chromedp.Click("#here3"), contains(".pair", "Now choose a token of the other"),
		chromedp.WaitVisible(`#here3[aria-pressed="true"]`))
	do("point at a token of the other one", chromedp.Click("#there3"), contains("#why", "a patch of what the output"),
		browsertest.Until(`location.search.includes("here=3") && location.search.includes("there=3")`))
	browsertest.Look(t, ctx, "pair.png", chromedp.FullScreenshot(100))
	do("take the patch along", chromedp.WaitVisible(`.files a[href*="here=3"]`))
	do("open the link of the patch again", chromedp.Reload(), contains("#why", "a patch of what the output"),
		chromedp.WaitVisible(`#there3[aria-pressed="true"]`))
	do("look at attention", chromedp.Click("#attention"), contains("#why", "not what the prediction depends on"),
		contains("#why", "head by head"))
	browsertest.Look(t, ctx, "attention.png", chromedp.FullScreenshot(100))
	do("choose a head", chromedp.Click("#head1"), contains("#why", "by head 1 of layer 0"),
		chromedp.WaitVisible("#head1[aria-current]"))
	do("type a text to compare with", chromedp.SetValue("#other", "it is the"), chromedp.Click("#explain"),
		browsertest.Until(`location.search.includes("other=it")`), contains(".pair", "Patch between two tokens"))
	do("go back to the methods", chromedp.Click(token), contains("#why article", "completeness"))
	do("choose a method", chromedp.SetValue("#method", "occlusion"), chromedp.Click(".how button"),
		contains("#why article", "occlusion"), browsertest.Until(`location.search.includes("occlusion")`))
	do("choose a foil", chromedp.Click(".alternatives tr:not(.on) a"), chromedp.WaitVisible("#why article"),
		browsertest.Until(`location.search.includes("foil")`))
	do("compare", chromedp.SetValue("#method", "occlusion,integrated-gradients,attn-lrp"),
		chromedp.Click(".how button"), contains("#why", "Agreement"))
	for _, kind := range []string{"html", "svg", "png", "json"} {
		do("find the "+kind, chromedp.WaitVisible(fmt.Sprintf(`.files a[href*="explanation.%s?"]`, kind)))
	}
	do("open the link again", chromedp.Reload(), chromedp.WaitVisible("#why article"), contains("#why", "Agreement"))
	browsertest.Look(t, ctx, "light.png", chromedp.FullScreenshot(100))
	do("see it in the dark", dark)
	browsertest.Look(t, ctx, "dark.png", chromedp.FullScreenshot(100))
	do("see it on a phone", chromedp.EmulateViewport(390, 844))
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
	if err != nil || wide {
		t.Errorf("on a phone the page is wider than the screen: %v (%v)", wide, err)
	}
	browsertest.Look(t, ctx, "phone.png", chromedp.FullScreenshot(100))

	// Without a mouse.
	do("begin again", chromedp.Navigate(l.URL), chromedp.Focus("#prompt"), chromedp.KeyEvent("what is"))
	do("go on to the button", chromedp.Focus(".ask button"), chromedp.KeyEvent(kb.Enter))
	do("see the answer", chromedp.WaitVisible(token), contains(".ended", "Choose a token"))
	do("choose a token", chromedp.Focus(token), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#why article"))
	do("type another text", chromedp.Focus("#other"), chromedp.KeyEvent("what if"), chromedp.Focus("#explain"),
		chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#there1"))
	held := func(id string) chromedp.Action[chromedp.Void] {
		return browsertest.Until(fmt.Sprintf(`document.activeElement.id === %q`, id))
	}
	do("choose a token of this text", chromedp.Focus("#here1"), chromedp.KeyEvent(kb.Enter),
		contains(".pair", "Now choose"), held("here1"))
	do("go on to the other text", chromedp.Focus("#there0"), chromedp.KeyEvent(kb.Tab), held("there1"),
		chromedp.KeyEvent(kb.Enter), contains("#why", "a patch of what the output"), held("there1"))
	do("look at a layer's attention", chromedp.Focus("#attention"), chromedp.KeyEvent(kb.Enter),
		contains("#why", "head by head"), chromedp.Focus("#layer1"), chromedp.KeyEvent(kb.Enter),
		contains("#why", "of layer 1"), held("layer1"))
	if all := said(); all != "" {
		t.Errorf("the browser complains:\n%s", all)
	}
}

// contains waits until a part of the page holds a text.
func contains(part, text string) chromedp.Action[chromedp.Void] {
	return browsertest.Until(fmt.Sprintf(`!!document.querySelector(%q)?.textContent.includes(%q)`, part, text))
}

// dark shows pages as to somebody who likes them dark.
func dark(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	return chromedp.Void{}, err
}

// complaints listens to what the browser says of the page, until it is asked: faults of the script, and what the policy
// forbids.
func complaints(ctx context.Context) func() string {
	ctx, stop := context.WithCancel(ctx)
	messages, all, ended := chromedp.Console(ctx), []string{}, make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range messages {
			if err != nil {
				return
			}
			all = append(all, m.String())
		}
	}()
	return func() string {
		stop()
		<-ended
		return strings.Join(all, "\n")
	}
}
