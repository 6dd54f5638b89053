package batch

import (
	"runtime/debug"
	"strings"
	"testing"
)

// Two builds have one version only where the Go command says that their sources are the same: those of a clean commit,
// and those of a release.
func TestVersionTellsBuildsApart(t *testing.T) {
	build := func(main, commit, modified string) *debug.BuildInfo {
		b := &debug.BuildInfo{Main: debug.Module{Version: main}}
		if commit != "" {
			b.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}
		}
		return b
	}
	for _, x := range []struct {
		name string
		info *debug.BuildInfo
		same bool
	}{
		{"a clean commit", build("v0.0.0-2026-abc", "abc", "false"), true},
		{"a release", build("v1.2.3", "", ""), true},
		{"a commit with changes", build("v0.0.0-2026-abc+dirty", "abc", "true"), false},
		{"changes alone", build("v0.0.0-2026-abc+dirty", "", ""), false},
		{"go run, go test, -buildvcs=false", build("(devel)", "", ""), false},
		{"an empty version", build("", "", ""), false},
		{"nothing known", nil, false},
	} {
		one := versionOf(x.info, func() string { return "1111" })
		other := versionOf(x.info, func() string { return "2222" })
		if (one == other) != x.same || one == "" {
			t.Errorf("%s: %q and %q", x.name, one, other)
		}
	}
	if commit := versionOf(build("", "abc", "false"), nil); commit != "abc" {
		t.Error(commit)
	}
	if v := Version(); strings.Contains(v, "(devel)") || strings.Contains(v, "unknown") || v != Version() {
		t.Errorf("this program is %q", v)
	}
}
