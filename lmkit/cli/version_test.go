package cli

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

// The changelog begins with the version of this source.
func TestVersionIsTheChangelogs(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`(?m)^## (\S+)`).FindSubmatch(text)
	if first == nil || string(first[1]) != version {
		t.Errorf("CHANGELOG.md begins with %q, and the version is %s", first, version)
	}
}

// What the Go command wrote into a program is read; a program without it has its version.
func TestBuildOf(t *testing.T) {
	got := buildOf(&debug.BuildInfo{
		Deps: []*debug.Module{{Path: "example.com/a", Version: "v9"}, {Path: "github.com/gomlx/gomlx", Version: "v1.2.3"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02"},
			{Key: "vcs.modified", Value: "true"}},
	}, true)
	want := built{Version: version, Commit: "abc", Time: "2026-01-02", Modified: true, Go: got.Go, System: got.System,
		GoMLX: "v1.2.3"}
	if got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if bare := buildOf(nil, false); bare.Version != version || bare.Go == "" || bare.Commit != "" {
		t.Errorf("without build information: %+v", bare)
	}
}
