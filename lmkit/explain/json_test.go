package explain

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sample() *Attribution {
	return &Attribution{
		Schema: Schema,
		Method: MethodInfo{Name: "integrated-gradients",
			Settings: json.RawMessage(`{"steps":32,"big":12345678901234567890,"s":"<é>"}`)},
		Objective: "contrast",
		Target:    Token{7, " are"}, Foil: &Token{9, " is"},
		Baseline: "unk",
		Tokens: []InputToken{{3, "The", 0, 3, false, true, ""}, {4, " keys", 3, 8, false, false, "user"},
			{5, "\n\"🗝️\x01", 8, 17, true, false, "assistant"}},
		Features: []Feature{{"The", []int{0}}, {" keys", []int{1, 2}}, {"state", nil}},
		Scores:   []float64{-0.1, 2.5e-300, 3},
		Spread:   []float64{0, 0.25, 1},
		Unit:     "logit", Value: 3.1, Base: math.Copysign(0, -1),
		Evidence: Evidence{
			Completeness: &Completeness{Error: -0.2, Relative: 0.0645, Tolerance: 0.01},
			Necessity: &Deletion{Features: []int{2, 1}, Value: -0.4, Drop: 3.5, Share: of(1.13), Decision: " is",
				Flips: true},
			Sufficiency: &Deletion{Value: 3, Drop: 0.1, Share: of(0.03), Decision: " are"},
		},
		Cost: Cost{12, 11, 24, 0.125, 1.5},
		Seed: math.MaxUint64, ModelHash: "ab", InputHash: "cd",
		Warnings: []string{"the completeness error is 6 %: raise --steps"},
	}
}

func write(t testing.TB, as ...*Attribution) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, as...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	bare := &Attribution{Schema: 1, Method: MethodInfo{Name: "m"}, Objective: "loss"}
	for name, as := range map[string][]*Attribution{
		"one": {sample()}, "several": {sample(), bare, sample()}, "bare": {bare}, "none": {},
	} {
		first := write(t, as...)
		if array := strings.HasPrefix(first, "["); array != (len(as) != 1) {
			t.Errorf("%s: an array: %v, for %d attributions", name, array, len(as))
		}
		if strings.Contains(first, "null") {
			t.Errorf("%s: null in\n%s", name, first)
		}
		back, err := Read(strings.NewReader(first))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if second := write(t, back...); second != first {
			t.Errorf("%s: written again it differs:\n%s\n%s", name, first, second)
		}
		if name == "one" {
			want := sample()
			want.Features[2].Tokens, want.Evidence.Sufficiency.Features = []int{}, []int{}
			want.Method.Settings = back[0].Method.Settings
			if !reflect.DeepEqual(back[0], want) {
				t.Errorf("read back %+v, want %+v", back[0], want)
			}
		}
	}
}

func TestRoundTripAnyNumbersAndText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := sample()
		num := rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64)
		a.Scores = []float64{num.Draw(t, "a"), num.Draw(t, "b"), num.Draw(t, "c")}
		a.Tokens[0].Text = rapid.String().Draw(t, "text")
		a.Seed = rapid.Uint64().Draw(t, "seed")
		var b1, b2 bytes.Buffer
		if err := Write(&b1, a); err != nil {
			t.Fatal(err)
		}
		back, err := Read(bytes.NewReader(b1.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back[0].Scores, a.Scores) || back[0].Tokens[0].Text != a.Tokens[0].Text ||
			back[0].Seed != a.Seed {
			t.Fatalf("read back %+v", back[0])
		}
		if err := Write(&b2, back...); err != nil || !bytes.Equal(b1.Bytes(), b2.Bytes()) {
			t.Fatalf("written again it differs (%v)", err)
		}
	})
}

func TestReadRefuses(t *testing.T) {
	good := write(t, sample())
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	deep := strings.Repeat("[", 1<<20)
	for _, c := range []struct{ name, in, wantErr string }{
		{"newer", with(`"schema": 2`, `"extra": 0, "schema": 7`), "this file has schema 7; this lmkit reads up to 2: " +
			"upgrade lmkit"},
		{"newer in an array", "[" + good + "," + with(`"schema": 2`, `"schema": 3`) + "]",
			"attribution 2: this file has schema 3"},
		{"no schema", with(`"schema": 2,`, ``), "schema is missing"},
		{"schema null", with(`"schema": 2`, `"schema": null`), "expected a whole number"},
		{"schema 0", with(`"schema": 2`, `"schema": 0`), "expected a whole number from 1"},
		{"schema text", with(`"schema": 2`, `"schema": "1"`), "expected a whole number from 1"},
		{"unknown", with(`"unit"`, `"colour": 1, "unit"`), `unknown field "colour"`},
		{"unknown inside", with(`"tolerance"`, `"x": 1, "tolerance"`), `unknown field "evidence.completeness.x"`},
		{"other case", with(`"unit"`, `"Unit"`), `unknown field "Unit"`},
		{"twice", with(`"unit"`, `"value": 1, "unit"`), "value is there twice"},
		{"missing", with(`"base": -0,`, ``), "the field base is missing"},
		{"missing inside", with(`"drop": 3.5,`, ``), "the field evidence.necessity.drop is missing"},
		{"null", with(`"value": 3.1`, `"value": null`), "value: expected a number up to 1.8e308, found null"},
		{"too large", with(`"value": 3.1`, `"value": 1e999`), "value: expected a number up to 1.8e308, found 1e999"},
		{"NaN", with(`"value": 3.1`, `"value": NaN`), "not JSON: line"},
		{"wrong type", with(`"value": 3.1`, `"value": "x\ny"`),
			`value: expected a number up to 1.8e308, found the string "x\ny"`},
		{"not whole", with(`"id": 7`, `"id": 7.5`), "target.id: expected a whole number, found 7.5"},
		{"negative seed", with(`"seed": `, `"seed": -`), "seed: expected a whole number, 0 or more"},
		{"object for array", with(`"scores": [`, `"scores": {}, "spread": [`), "scores: expected an array, found an object"},
		{"score count", with(`-0.1,`, `-0.1, 1,`), "4 scores for 3 features"},
		{"outside", with(`"tokens": [
        0
      ]`, `"tokens": [3]`), "features[0] points to token 3 of 3"},
		{"deletion outside", with("\"features\": [\n        2", "\"features\": [\n        8"),
			"evidence.necessity points to feature 8 of 3"},
		{"settings", with(`"steps": 32`, `"steps": 32}, "settings": {"a": 1`), "method.settings is there twice"},
		{"empty", " \n", "the input is empty"},
		{"cut", good[:len(good)/2], "not JSON: line"},
		{"more", good + "{}", "not JSON: line"},
		{"not UTF-8", "\"\xff\"", "not UTF-8"},
		{"number", "5", "expected an object"},
		{"array of numbers", "[5]", "attribution 1: not an attribution"},
		{"deep", deep, "not JSON"},
		{"large", strings.Repeat(" ", MaxBytes+1), "larger than 64 MiB"},
	} {
		as, err := Read(strings.NewReader(c.in))
		switch {
		case err == nil:
			t.Errorf("%s: read %d attributions, want the error %q", c.name, len(as), c.wantErr)
		case !strings.Contains(err.Error(), c.wantErr):
			t.Errorf("%s: error %q, want %q", c.name, err, c.wantErr)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: more than a line: %q", c.name, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*Attribution)
		wantErr string
	}{
		{"schema", func(a *Attribution) { a.Schema = 0 }, "schema is 0"},
		{"NaN", func(a *Attribution) { a.Scores[1] = math.NaN() }, "scores[1] is NaN: expected a finite number"},
		{"Inf", func(a *Attribution) { a.Base = math.Inf(-1) }, "base is -Inf"},
		{"evidence", func(a *Attribution) { a.Evidence.Completeness.Relative = math.Inf(1) },
			"evidence.completeness[1] is +Inf"},
		{"seconds", func(a *Attribution) { a.Cost.Seconds = math.NaN() }, "cost[0] is NaN"},
		{"foil", func(a *Attribution) { a.Foil = nil }, "there is no foil"},
		{"spread", func(a *Attribution) { a.Spread = a.Spread[:1] }, "1 values of spread for 3 features"},
		{"negative spread", func(a *Attribution) { a.Spread[0] = -1 }, "spread[0] is -1"},
		{"settings", func(a *Attribution) { a.Method.Settings = json.RawMessage(`[1]`) }, "not a JSON object"},
		{"settings broken", func(a *Attribution) { a.Method.Settings = json.RawMessage(`{`) }, "not a JSON object"},
		{"span", func(a *Attribution) { a.Tokens[1].End = 1 }, "tokens[1] covers the bytes 3 to 1"},
		{"order", func(a *Attribution) { a.Features[1].Tokens = []int{2, 1} }, "features[1].tokens is not ascending"},
		{"id", func(a *Attribution) { a.Target.ID = -1 }, "target.id is -1"},
	} {
		a := sample()
		c.spoil(a)
		var b bytes.Buffer
		err := Write(&b, a)
		if err == nil || !strings.Contains(err.Error(), c.wantErr) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want %q", c.name, err, b.Len(), c.wantErr)
		}
	}
	if err := Write(&bytes.Buffer{}, nil); err == nil {
		t.Error("nil was written")
	}
}

func TestWriteTextThatIsNotUTF8(t *testing.T) {
	a := sample()
	a.Tokens[0].Text = "a\xf0\x9f"
	back, err := Read(strings.NewReader(write(t, a)))
	if err != nil || back[0].Tokens[0].Text != "a\ufffd\ufffd" {
		t.Fatalf("got %v, %v", back, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(write(f, sample())))
	f.Add([]byte(write(f, sample(), sample())))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"schema":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		as, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b1, b2 bytes.Buffer
		if err := Write(&b1, as...); err != nil {
			t.Fatalf("read, but cannot be written: %v", err)
		}
		back, err := Read(bytes.NewReader(b1.Bytes()))
		if err != nil {
			t.Fatalf("written, but cannot be read: %v", err)
		}
		if err := Write(&b2, back...); err != nil || !bytes.Equal(b1.Bytes(), b2.Bytes()) {
			t.Fatalf("written again it differs (%v)", err)
		}
	})
}

func of(x float64) *float64 { return &x }
