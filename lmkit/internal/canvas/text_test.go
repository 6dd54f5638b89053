package canvas

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// words are in scripts that people write, two of each.
var words = map[string][2]string{
	"Latin": {
		"keys",
		"Straße",
	},
	"Vietnamese": {"tiếng", "Việt"},
	"Greek":      {"γλώσσα", "λέξη"},
	"Cyrillic":   {"слово", "мова"},
	"Armenian":   {"բառ", "լեզու"},
	"Georgian":   {"სიტყვა", "ენა"},
	"Hebrew":     {"מילה", "שפה"},
	"Arabic":     {"كلمة", "لغة"},
	"Persian": {
		"واژه",
		"می\u200cخواهم",
	},
	"Urdu":       {"لفظ", "زبان"},
	"Devanagari": {"शब्द", "भाषा"},
	"Bengali":    {"শব্দ", "ভাষা"},
	"Gurmukhi":   {"ਸ਼ਬਦ", "ਭਾਸ਼ਾ"},
	"Gujarati":   {"શબ્દ", "ભાષા"},
	"Oriya":      {"ଶବ୍ଦ", "ଭାଷା"},
	"Tamil":      {"சொல்", "மொழி"},
	"Telugu":     {"పదం", "భాష"},
	"Kannada":    {"ಪದ", "ಭಾಷೆ"},
	"Malayalam":  {"വാക്ക്", "ഭാഷ"},
	"Sinhala":    {"වචනය", "භාෂාව"},
	"Thai": {
		"คำ",
		"ภาษา",
	},
	"Lao":         {"ຄໍາ", "ພາສາ"},
	"Khmer":       {"ពាក្យ", "ភាសា"},
	"Myanmar":     {"စကားလုံး", "ဘာသာ"},
	"Ethiopic":    {"ቃል", "ቋንቋ"},
	"Chinese":     {"我喜欢猫", "中国"},
	"Traditional": {"語言", "漢字"},
	"Japanese":    {"かな", "カタカナ"},
	"Korean":      {"한국어", "단어"},
	"emoji": {
		"👩‍👩‍👧",
		"🙂",
	},
	"combining": {"e\u0301", "o\u0308"},
	"marks":     {"⏎", "∅"},
	"none":      {"\U00016A00", "\U00013000"},
}

func (o outline) box() (lo, hi point) {
	lo, hi = point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, polygon := range o {
		for _, q := range polygon {
			lo, hi = point{min(lo.x, q.x), min(lo.y, q.y)}, point{max(hi.x, q.x), max(hi.y, q.y)}
		}
	}
	return lo, hi
}

// Every word has a picture of its own in every style: there is no box that stands for whatever a font lacks.
func TestWordsOfAllScripts(t *testing.T) {
	for _, l := range []Label{{}, {Bold: true}, {Mono: true}} {
		g, seen := &glyphs{}, map[string]string{}
		for script, pair := range words {
			for _, word := range pair {
				o, width, _ := g.letters(l, word, 24)
				if lo, hi := o.box(); len(o) == 0 || !(hi.x-lo.x > 2) || !(hi.y-lo.y > 2) || width < 3 || width > 500 {
					t.Errorf("%s %q: %d outlines, %g wide", script, word, len(o), width)
				}
				picture := fmt.Sprintf("%.3f", o)
				if other, twice := seen[picture]; twice {
					t.Errorf("%q and %q have the same picture", word, other)
				}
				seen[picture] = word
			}
		}
		for _, f := range g.chain(l) {
			if f.Font == nil {
				t.Error("a font does not open")
			}
		}
	}
}

// A text to the left begins at the right, and what stands to the right in it keeps its order.
func TestRightToLeft(t *testing.T) {
	order := func(s string) (got []string) {
		for _, r := range visualRuns(s) {
			if text := strings.Trim(r.text, "\u200e "); text != "" {
				got = append(got, text)
			}
		}
		return got
	}
	for s, want := range map[string]string{
		"abc": "[abc]", "שלום": "[שלום]", "say שלום now": "[say שלום now]",
		"שלום 12 אב": "[אב 12 שלום]", "a שלום 12": "[a 12 שלום]",
		"`שלום`\u200e: +1.25": "[` שלום `\u200e: +1.25]",
	} {
		if got := fmt.Sprint(order(s)); got != want {
			t.Errorf("%q is seen as %q, want %q", s, got, want)
		}
	}
	g := &glyphs{}
	both, width, _ := g.letters(Label{}, "אב", 100)
	first, _, _ := g.letters(Label{}, "א", 100)
	lo, _ := first.box()
	_, hi := both.box()
	if size := func(o outline) float64 { l, h := o.box(); return h.x - l.x }; math.Abs(width-hi.x-lo.x) > 30 ||
		size(both) < 1.5*size(first) {
		t.Errorf("the letters of אב overlap")
	}
	tail := both[len(both)-1]
	if tail[0].x < both[0][0].x {
		t.Errorf("the outlines are not in the order in which they are seen")
	}
	// Joined letters differ from those that stand alone.
	joined, _, _ := g.letters(Label{}, "لغة", 100)
	apart, _, _ := g.letters(Label{}, "ل غ ة", 100)
	if a, b := fmt.Sprintf("%.1f", joined[0]), fmt.Sprintf("%.1f", apart[0]); a == b {
		t.Error("Arabic letters do not join")
	}
}

// Any text has outlines at finite places, and each time the same.
func TestAnyText(t *testing.T) {
	g := &glyphs{}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		l := Label{Mono: rapid.Bool().Draw(t, "mono")}
		o, width, _ := g.letters(l, s, 20)
		again, _, _ := (&glyphs{}).letters(l, s, 20)
		if fmt.Sprint(o) != fmt.Sprint(again) {
			t.Fatalf("%q is drawn differently the second time", s)
		}
		if math.IsNaN(width) || math.IsInf(width, 0) {
			t.Fatalf("%q is %g wide", s, width)
		}
	})
}

// TestSpecimen paints all words, to look at them: LMKIT_PICTURES names the folder.
func TestSpecimen(t *testing.T) {
	dir := os.Getenv("LMKIT_PICTURES")
	if dir == "" {
		t.Skip("LMKIT_PICTURES is not set")
	}
	c := New(PictureWidth)
	c.Heading("Words of all scripts")
	for script, pair := range words {
		c.Text(Margin, c.Y+14, Label{Size: 12}, script)
		for i, word := range pair {
			x := 140 + 240*float64(i)
			c.Rect(x, c.Y, MonoWidth(word, 14)+10, 20, Style{Stroke: LineSoft}, "")
			c.Text(x+5, c.Y+14, Label{Size: 14, Mono: true}, word)
			c.Text(x+150, c.Y+14, Label{Size: 14}, word)
		}
		c.Y += 22
	}
	f, err := os.Create(dir + "/words.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := c.PNG(f); err != nil {
		t.Fatal(err)
	}
}
