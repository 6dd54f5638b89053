package token

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"": {Kind: KindWord}, "word": {Kind: KindWord}, "char": {Kind: KindChar}, "bpe": {Kind: KindBPE},
		"bpe:300": {Kind: KindBPE, Size: 300},
	} {
		if got, err := ParseSpec(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"letters", "word:5", "char:", ":", "bpe:", "bpe:x", "bpe:0", "bpe:255", "bpe:-1",
		"bpe:1048577", "bpe:99999999999999999999", "BPE"} {
		if got, err := ParseSpec(text); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// Characters come from every part, so that every part can be read; words and byte pairs only from what is trained on.
func TestLearn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[a-zé日 ]{0,12}`), 1, 4)
		train, held := append(texts.Draw(t, "train"), "a"), texts.Draw(t, "held out")
		all := slices.Concat(train, held)
		for _, kind := range []string{KindWord, KindChar, "bpe:256"} {
			spec, err := ParseSpec(kind)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := spec.Learn(context.Background(), slices.Values(train), slices.Values(all))
			if err != nil {
				t.Fatal(kind, err)
			}
			for _, text := range all {
				if _, err := tok.Encode(text); err != nil {
					t.Errorf("%s cannot read %q: %v", kind, text, err)
				}
			}
			alone, err := spec.Learn(context.Background(), slices.Values(train), slices.Values(train))
			if err != nil {
				t.Fatal(err)
			}
			if same := alone.Size() == tok.Size(); kind != KindChar && !same {
				t.Errorf("%s learns from what is held out: %d tokens and %d", kind, alone.Size(), tok.Size())
			}
		}
	})
}

func ExampleParseSpec() {
	spec, err := ParseSpec("bpe:300")
	fmt.Println(spec.Kind, spec.Size, err)
	// Output: bpe 300 <nil>
}
