package strict_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/strict/stricttest"
)

// everything has a field of each kind that files have.
type everything struct {
	Whole  int                        `json:"whole,omitempty"`
	Small  int32                      `json:"small,omitempty"`
	Byte   uint8                      `json:"byte,omitempty"`
	Count  uint64                     `json:"count,omitempty"`
	Number float64                    `json:"number,omitempty"`
	Short  float32                    `json:"short,omitempty"`
	Text   string                     `json:"text,omitempty"`
	Truth  *bool                      `json:"truth,omitempty"`
	List   []int32                    `json:"list,omitempty"`
	Pair   [2]string                  `json:"pair,omitempty"`
	IDs    map[string]int32           `json:"ids,omitempty"`
	Inner  *struct{ Of []everything } `json:"inner,omitempty"`
}

const all = `{"whole": 1, "small": 2, "byte": 3, "count": 4, "number": 0.5, "short": 0.5, "text": "a", "truth": true,
	"list": [1, 2], "pair": ["a", "b"], "ids": {"a": 1}, "inner": {"Of": [{"whole": 1}]}}`

// What is wrong in a JSON text is told in words, whatever it is and whatever it should be.
func TestWordsOfErrors(t *testing.T) {
	failed := 0
	for place, text := range stricttest.Wrong([]byte(all)) {
		if err := strict.Decode(text, new(everything)); err != nil {
			failed++
			if wrong := stricttest.Unreadable(err); wrong != "" {
				t.Errorf("%s: %v: %s", place, err, wrong)
			}
			if json.Valid(text) && !(strings.Contains(err.Error(), "expected ") && strings.Contains(err.Error(), "found ")) {
				t.Errorf("%s: %v: it does not say what stands there, and what must", place, err)
			}
		}
		if strings.Contains(place, ".pair") { // which Unmarshal does not know
			continue
		}
		if err := strict.Unmarshal(text, new(everything)); stricttest.Unreadable(err) != "" {
			t.Errorf("strictly, %s: %v: %s", place, err, stricttest.Unreadable(err))
		}
	}
	if failed < 100 {
		t.Errorf("only %d texts were wrong", failed)
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{"ids": {"a": 1000000000000}}`: "ids: expected a whole number up to 2147483647, found 1000000000000",
		`{"byte": -1}`:                  "byte: expected a whole number from 0 to 255, found -1",
		`{"inner": {"Of": {}}}`:         "inner.Of: expected an array, found an object",
		`{"short": 1e300}`:              "short: expected a number up to 3.4e38, found 1e300",
		`[]`:                            "expected an object, found an array",
		"{\n\"whole\": 1,\n}":           "not JSON: line 3: invalid character '}' looking for beginning of object key string",
		``:                              "not JSON: line 1: unexpected end of JSON input",
	} {
		if err := strict.Decode([]byte(text), new(everything)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	const other = `{"unheard": 1, "Whole": 2}`
	if err := strict.Decode([]byte(other), new(everything)); err != nil {
		t.Errorf("other fields: %v", err)
	}
	if err := strict.Known([]byte(other), new(everything)); err == nil || err.Error() != `unknown field "unheard"` {
		t.Errorf("other fields: %v", err)
	}
}

// Errors that are no mistake of the text stay what they are.
func TestPlain(t *testing.T) {
	for _, err := range []error{nil, io.EOF, errors.New("the disk is gone")} {
		if got := strict.Plain(err); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	d := json.NewDecoder(strings.NewReader(`{"unheard": 1}`))
	d.DisallowUnknownFields()
	if err := strict.Plain(d.Decode(new(everything))); err == nil || err.Error() != `unknown field "unheard"` {
		t.Errorf("%v", err)
	}
}
