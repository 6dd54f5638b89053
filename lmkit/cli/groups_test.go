package cli

import (
	"reflect"
	"testing"
)

func TestParseGroups(t *testing.T) {
	for _, test := range []struct {
		texts []string
		want  [][]int // nil: a mistake
	}{
		{nil, nil},
		{[]string{"0-3", "4+6", " 7"}, [][]int{{0, 1, 2, 3}, {4, 6}, {7}}},
		{[]string{"1-2+5-6"}, [][]int{{1, 2, 5, 6}}},
		{[]string{""}, nil}, {[]string{"x"}, nil}, {[]string{"3-1"}, nil}, {[]string{"-1"}, nil},
		{[]string{"0-99999999"}, nil},
	} {
		got, err := parseGroups(test.texts)
		if (err == nil) != (test.want != nil || test.texts == nil) || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %v, %v, want %v", test.texts, got, err, test.want)
		}
	}
}
