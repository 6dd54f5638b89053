package board

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

// On a task that both models learn, occlusion finds the cause and random scores do not; and the same seed gives the
// same board, but for the seconds.
func TestRun(t *testing.T) {
	c := Config{Tasks: []string{"marker"}, Methods: []string{"occlusion", "saliency"}, Items: 6, Size: 6, Width: 32}
	var boards [2]*Result
	for i := range boards {
		r, err := Run(context.Background(), backendtest.Engine(t), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		boards[i] = r
	}
	if len(boards[0].Models) != 2 {
		t.Fatalf("%d models, want a Transformer and an LSTM", len(boards[0].Models))
	}
	for _, m := range boards[0].Models {
		if m.Table.Verified.Mean < 0.5 {
			t.Errorf("%s: only %.2f of the items are verified after %d steps (loss %.3f)", m.Arch, m.Table.Verified.Mean,
				m.Steps, m.Loss)
			continue
		}
		if found, chance := precision(m, "occlusion"), precision(m, "random"); found < 0.99 || chance > 0.8 {
			t.Errorf("%s: occlusion finds %.2f of the causes, random scores %.2f", m.Arch, found, chance)
		}
	}
	var first, second bytes.Buffer
	for i, w := range []*bytes.Buffer{&first, &second} {
		for _, m := range boards[i].Models {
			for k := range m.Table.Rows {
				m.Table.Rows[k].Seconds = 0
			}
		}
		if err := boards[i].JSON(w); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same seed gives another board")
	}
	if !json.Valid(first.Bytes()) {
		t.Error("the JSON is not valid")
	}
	var text, page bytes.Buffer
	if err := boards[0].Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := boards[0].HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Transformer", "LSTM", "occlusion", "random", "verified"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("no %q in the table or the page:\n%s", want, text.String())
		}
	}
	t.Log("\n" + text.String())
}

func TestWrongConfig(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Tasks: []string{"nonsense"}}, `unknown planted task "nonsense"`},
		{Config{Archs: []string{"rnn"}}, `no architecture "rnn"`},
		{Config{Methods: []string{"magic"}}, `no method "magic"`},
		{Config{Items: -1}, "-1 items to explain: give a number from 1 to"},
		{Config{Width: 30}, "multiple of 4"},
		{Config{Steps: -1}, "cannot be negative"},
	} {
		if _, err := Run(context.Background(), backendtest.PureGo(t), tt.c, nil); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.c, err, tt.want)
		}
	}
}
