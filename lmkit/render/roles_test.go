package render

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// A deletion is said as a share only where that is one: never below nothing or far beyond all, which words say.
func TestWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := short()
		num := rapid.Float64Range(-20, 20)
		a.Value = num.Draw(t, "value")
		base, after := num.Draw(t, "base"), num.Draw(t, "after")
		if a.Value == base {
			return
		}
		d := explain.Deletion{Value: after, Drop: a.Value - after, Share: of((a.Value - after) / (a.Value - base))}
		said := way(a, &d)
		share := strings.Contains(said, "% of the way to")
		switch {
		case share != (*d.Share >= 0 && *d.Share <= 1.5), strings.HasPrefix(said, "past") != (*d.Share > 1.5),
			strings.HasPrefix(said, "away from") != (*d.Share < 0),
			strings.Contains(said, "so near") != (max(*d.Share, -*d.Share) > 3):
			t.Errorf("from %v to %v, with the baseline at %v: %s", a.Value, after, base, said)
		}
	})
}

// Roles come from files that anybody may have written: they cannot steer a terminal or a page, and a long one does not
// take the room of the tokens. An input without roles is drawn as if there were no conversations.
func TestRoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := short()
		role := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "user", "\x1b[2J", "<b>x</b>",
			strings.Repeat("w", 300)}))
		for i := range a.Tokens {
			a.Tokens[i].Role = role.Draw(t, "role")
		}
		var text, page, picture bytes.Buffer
		for _, err := range []error{Text(&text, a, plot.Options{Width: 60}), HTML(&page, a), SVG(&picture, a)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		at := 0
		for _, r := range turns(a) {
			if r.From != at || r.To <= at {
				t.Fatalf("the turns are %+v", turns(a))
			}
			at = r.To
		}
		for _, line := range strings.Split(text.String(), "\n") {
			if n := printable.Columns(line); n > 60 {
				t.Fatalf("a line of %d columns: %q", n, line)
			}
		}
		if at != len(a.Tokens) || strings.ContainsAny(text.String(), "\x1b\x07") ||
			strings.Contains(page.String(), "<b>x</b>") {
			t.Fatalf("%q", text.String())
		}
	})
}
