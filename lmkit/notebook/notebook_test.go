package notebook

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"image/png"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/train"
)

// kernel stands for GoNB: it reads what is displayed, and acknowledges each request to synchronise.
type kernel struct {
	sync.Mutex
	shown []protocol.DisplayData
	syncs int
}

var fake kernel

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kernel")
	if err != nil {
		panic(err)
	}
	to, back := filepath.Join(dir, "to"), filepath.Join(dir, "back")
	if err := errors.Join(syscall.Mkfifo(to, 0o600), syscall.Mkfifo(back, 0o600), os.Setenv(protocol.GONB_PIPE_ENV, to),
		os.Setenv(protocol.GONB_PIPE_BACK_ENV, back)); err != nil {
		panic(err)
	}
	go fake.serve(to, back)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func (k *kernel) serve(to, back string) {
	in, err := os.Open(to)
	if err != nil {
		panic(err)
	}
	out, err := os.OpenFile(back, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	d, e := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var data protocol.DisplayData
		if err := d.Decode(&data); err != nil {
			return
		}
		k.Lock()
		if v, ok := data.Data[protocol.MIMECommValue].(protocol.CommValue); ok && v.Address == protocol.GonbuiSyncAddress {
			k.syncs++
			if err := e.Encode(&protocol.CommValue{Address: protocol.GonbuiSyncAckAddress, Value: v.Value}); err != nil {
				panic(err)
			}
		} else {
			k.shown = append(k.shown, data)
		}
		k.Unlock()
	}
}

// in runs f in a notebook, and returns what it displays and how often it synchronises.
func in(t *testing.T, f func()) (shown []protocol.DisplayData, syncs int) {
	t.Helper()
	gonbui.IsNotebook = true
	defer func() { gonbui.IsNotebook = false }()
	fake.Lock()
	fake.shown, fake.syncs = nil, 0
	fake.Unlock()
	f()
	gonbui.Sync() // so that all is counted; this one is not
	fake.Lock()
	defer fake.Unlock()
	return fake.shown, fake.syncs - 1
}

// outside runs f where there is no notebook, and returns what it prints.
func outside(t *testing.T, f func()) string {
	t.Helper()
	var b bytes.Buffer
	before := stdout
	stdout, gonbui.IsNotebook = func() io.Writer { return &b }, false
	defer func() { stdout = before }()
	f()
	return b.String()
}

func sample(method string) *explain.Attribution {
	a := &explain.Attribution{Schema: explain.Schema, Method: explain.MethodInfo{Name: method}, Objective: "contrast",
		Target: explain.Token{ID: 1, Text: " are"},
		Foil:   &explain.Token{ID: 2, Text: " is"}, Baseline: "unk", Unit: "logit", Base: 0.5, Value: 2.1,
		Scores: []float64{0.1, 1.9, -0.4}}
	at := 0
	for i, w := range []string{"The", " keys", " near"} {
		a.Tokens = append(a.Tokens, explain.InputToken{ID: i, Text: w, Start: at, End: at + len(w)})
		a.Features = append(a.Features, explain.Feature{Text: w, Tokens: []int{i}})
		at += len(w)
	}
	return a
}

func picker() plot.Picker {
	p := plot.Picker{Title: "Layer"}
	for l := range 2 {
		heads := make([][][]float64, 2)
		for h := range heads {
			heads[h] = [][]float64{{1, 0}, {0.25 * float64(l+h), 1 - 0.25*float64(l+h)}}
		}
		p.Tabs = append(p.Tabs, layer(l, []string{"the", " keys"}, heads))
	}
	return p
}

// things are calls that show one output each, and a part of the text that it must carry.
var things = map[string]struct {
	show func() error
	text string
}{
	"attribution": {func() error { return Show(sample("occlusion")) }, "+1.90"},
	"waterfall":   {func() error { return Waterfall(sample("occlusion")) }, "baseline"},
	"force":       {func() error { return Force(sample("occlusion")) }, "+1.90"},
	"compare":     {func() error { return Compare(sample("occlusion"), sample("lime")) }, "agreement"},
	"table": {func() error { return Table([]string{"method", "found"}, []any{"lime", 0.5}, []any{"exact", 1}) },
		"exact"},
	"picker": {func() error { return Show(picker()) }, "all heads"},
	"curves": {func() error {
		return Show(plot.Curves{Lines: []plot.Line{{Name: "x", Points: []plot.Point{{X: 0, Y: 1}, {X: 1, Y: 2}}}}})
	}, "2 points"},
	"circuit": {func() error {
		return Show(&inspect.Graph{Nodes: []inspect.GraphNode{{Name: "embed", Layer: -1}, {Name: "logits", Layer: 1}},
			Edges: []inspect.GraphEdge{{From: "embed", To: "logits", Score: 2}}, Kept: 1, Of: 7, Faithfulness: 1})
	}, "1 of 7 edges"},
	"section": {func() error {
		return Show(render.Section{Heading: "Both", Figures: render.Figures(sample("a"), sample("b"))})
	}, "necessity"},
}

// One message carries all three formats, and nothing is left in the pipe.
func TestShowInNotebook(t *testing.T) {
	for name, tt := range things {
		shown, syncs := in(t, func() {
			if err := tt.show(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if len(shown) != 1 || syncs < 1 {
			t.Fatalf("%s: %d outputs and %d synchronisations, want 1 and at least 1", name, len(shown), syncs)
		}
		d := shown[0].Data
		page, _ := d[protocol.MIMETextHTML].(string)
		text, _ := d[protocol.MIMETextPlain].(string)
		picture, _ := d[protocol.MIMEImagePNG].([]byte)
		if !strings.Contains(text, tt.text) {
			t.Errorf("%s: %q is not in the text:\n%s", name, tt.text, text)
		}
		if !strings.Contains(page, `class="lmkit lmkit-cell"`) {
			t.Errorf("%s: the page has no content: %.200s", name, page)
		}
		for _, bad := range []string{"<script", "http://", "https://", "src="} {
			if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		c, err := png.DecodeConfig(bytes.NewReader(picture))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		size, _ := shown[0].Metadata["image/png"].(map[string]int)
		if size["width"] != c.Width/2 || size["height"] != c.Height/2 {
			t.Errorf("%s: shown at %v, the picture is %d x %d", name, size, c.Width, c.Height)
		}
	}
}

func TestShowOutside(t *testing.T) {
	for name, tt := range things {
		got := outside(t, func() {
			if err := tt.show(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if !strings.Contains(got, tt.text) || strings.Contains(got, "\x1b") {
			t.Errorf("%s: printed %q, want plain text with %q", name, got, tt.text)
		}
	}
}

// What cannot be shown is an error in its place, and returned.
func TestErrors(t *testing.T) {
	bad := sample("x")
	bad.Scores = bad.Scores[:2]
	for name, tt := range map[string]struct {
		show func() error
		want string
	}{
		"nil":         {func() error { return Show(nil) }, "it is nil"},
		"typed nil":   {func() error { return Show((*explain.Attribution)(nil)) }, "it is nil"},
		"waterfall":   {func() error { return Waterfall(nil) }, "it is nil"},
		"compare nil": {func() error { return Compare(sample("a"), nil) }, "attribution 2 is nil"},
		"compare":     {func() error { return Compare() }, "nothing to compare"},
		"scores":      {func() error { return Show(bad) }, "cannot draw the attribution"},
		"no circuit":  {func() error { return Show((*inspect.Graph)(nil)) }, "it is nil"},
		"unknown":     {func() error { return Show(42) }, "no picture is known for a int"},
		"figure":      {func() error { return Show(plot.Curves{}) }, "no point to draw"},
		"table":       {func() error { return Table([]string{"a"}, []any{1, 2}) }, "2 cells for 1 columns"},
		"no model":    {func() error { return Attention(t.Context(), nil, "x") }, "no model"},
		"empty":       {func() error { return Show(render.Section{}) }, "no figure"},
	} {
		var err error
		shown, _ := in(t, func() { err = tt.show() })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
		if len(shown) != 1 || !strings.Contains(fmt.Sprint(shown[0].Data[protocol.MIMETextPlain]), "error: ") ||
			!strings.Contains(fmt.Sprint(shown[0].Data[protocol.MIMETextHTML]), "lmkit-error") {
			t.Errorf("%s: shown %v, want the error", name, shown)
		}
		if got := outside(t, func() { _ = tt.show() }); !strings.Contains(got, tt.want) {
			t.Errorf("%s: printed %q, want %q", name, got, tt.want)
		}
	}
}

// Where nobody can move a slider, it is the picture at its start, at once.
func TestSliderUnattended(t *testing.T) {
	t.Setenv(protocol.GONB_JUPYTER_KERNEL_ID_ENV, "")
	var drawn []int
	show := func() {
		if err := Slider(t.Context(), 5, 3,
			func(i int) any { drawn = append(drawn, i); return sample("occlusion") }); err != nil {
			t.Error(err)
		}
	}
	shown, _ := in(t, show)
	if len(shown) != 1 || shown[0].Data[protocol.MIMEImagePNG] == nil {
		t.Errorf("shown %v, want one picture", shown)
	}
	if got := outside(t, show); !strings.Contains(got, "+1.90") {
		t.Errorf("printed %q", got)
	}
	if fmt.Sprint(drawn) != "[3 3]" {
		t.Errorf("drawn at %v, want [3 3]", drawn)
	}
	shown, _ = in(t, func() {
		if Slider(t.Context(), 5, 5, nil) == nil {
			t.Error("a start beyond the end is no error")
		}
	})
	if len(shown) != 1 || !strings.Contains(fmt.Sprint(shown[0].Data[protocol.MIMETextPlain]), "cannot start at 5") {
		t.Errorf("shown %v, want the error", shown)
	}
}

// A context that has ended leaves the picture, and waits for no browser.
func TestSliderEndsWithContext(t *testing.T) {
	t.Setenv(protocol.GONB_JUPYTER_KERNEL_ID_ENV, "some-kernel")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	shown, _ := in(t, func() {
		if err := Slider(ctx, 5, 3, func(int) any { return sample("occlusion") }); err != nil {
			t.Error(err)
		}
	})
	pictures := 0
	for _, d := range shown {
		if d.Data[protocol.MIMEImagePNG] != nil {
			pictures++
		}
	}
	if pictures != 1 {
		t.Errorf("%d pictures, want the one at the start", pictures)
	}
}

func TestMarkdown(t *testing.T) {
	shown, _ := in(t, func() { _ = Math(`\sqrt{x}`) })
	if len(shown) != 1 || shown[0].Data[protocol.MIMETextMarkdown] != `$$\sqrt{x}$$` {
		t.Errorf("shown %v", shown)
	}
}

// run tells of n steps, an evaluation at each tenth, and ends with err.
func run(n int, err error) iter.Seq2[train.Event, error] {
	return func(yield func(train.Event, error) bool) {
		for i := 1; i <= n; i++ {
			e := train.Event{Step: i, Steps: 2 * n, TrainLoss: 4 * math.Exp(-float64(i)/50), Seconds: float64(i) / 10}
			if i%10 == 0 {
				e.Valid = &train.Evaluation{Loss: e.TrainLoss + 0.1}
			}
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(train.Event{}, err)
		}
	}
}

// A training is one display that is updated, and ends with the last state.
func TestTrain(t *testing.T) {
	broken := errors.New("the power is gone")
	for _, want := range []error{nil, broken} {
		var last train.Event
		var err error
		shown, _ := in(t, func() { last, err = Train(run(500, want)) })
		if !errors.Is(err, want) || last.Step != 500 {
			t.Fatalf("error %v at step %d", err, last.Step)
		}
		if len(shown) < 2 || len(shown) > 20 {
			t.Errorf("%d displays for 500 events", len(shown))
		}
		for _, d := range shown {
			if d.DisplayID == "" || d.DisplayID != shown[0].DisplayID {
				t.Errorf("a display with the id %q, the first has %q", d.DisplayID, shown[0].DisplayID)
			}
		}
		end := shown[len(shown)-1].Data
		text := fmt.Sprint(end[protocol.MIMETextPlain])
		if !strings.Contains(text, "step 500 of 1000 (50 %)") || want != nil && !strings.Contains(text, want.Error()) {
			t.Errorf("the last text is %q", text)
		}
		if _, ok := end[protocol.MIMEImagePNG].([]byte); !ok || end[protocol.MIMETextHTML] == nil {
			t.Error("the last display lacks a format")
		}
		if got := outside(t, func() { _, _ = Train(run(50, want)) }); strings.Count(got, "step 50 of 100") != 1 {
			t.Errorf("outside it prints %q", got)
		}
	}
	shown, _ := in(t, func() { _, err := Train(run(0, broken)); _ = err })
	if s := fmt.Sprint(shown[len(shown)-1].Data[protocol.MIMETextPlain]); !strings.Contains(s, broken.Error()) {
		t.Errorf("without a step it shows %q", s)
	}
}

// The picture changes once a second, however many events there are.
func TestThrottle(t *testing.T) {
	shown, _ := in(t, func() {
		p := NewProgress()
		clock := time.Unix(0, 0)
		p.now = func() time.Time { return clock }
		for e := range run(100, nil) {
			p.Event(e)
			clock = clock.Add(every / 10)
		}
		_ = p.Close()
		_ = p.Close()
	})
	if len(shown) != 1+10+1 { // the place, one a second, the end
		t.Errorf("%d displays, want 12", len(shown))
	}
}
