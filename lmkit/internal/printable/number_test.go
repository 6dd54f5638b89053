package printable

import (
	"testing"
)

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 3.1: "3.1", -0.4: "-0.4", 12345: "12345",
		0.0012345: "0.00123", 1e-5: "1e-05", 2e6: "2e+06", 99.96: "100", 1: "1", 100: "100"} {
		if got := Number(x); got != want {
			t.Errorf("number(%g) = %s, want %s", x, got, want)
		}
	}
	for _, c := range []struct {
		top, x float64
		want   string
	}{{2, 0.9, "+0.90"}, {0.05, -0.0123, "-0.012"}, {5000, 12.3, "+12"}, {1e-6, 1e-7, "+1.00e-07"}, {0, 0, "+0.00"}} {
		if got := ScoreFormat(c.top)(c.x); got != c.want {
			t.Errorf("scoreFormat(%g)(%g) = %s, want %s", c.top, c.x, got, c.want)
		}
	}
}
