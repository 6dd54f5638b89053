package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
)

// Version names the code that is running: the commit that it was built from. Where it had been changed, or the Go
// command knew of no commit, a hash of the program itself tells two builds apart.
var Version = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info, programHash)
})

// versionOf names the code of a build, which may be nil.
func versionOf(info *debug.BuildInfo, hash func() string) string {
	set := map[string]string{}
	released := ""
	if info != nil {
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		released = info.Main.Version
	}
	switch commit := set["vcs.revision"]; {
	case commit != "" && set["vcs.modified"] == "true":
		return commit + "+" + hash()
	case commit != "":
		return commit
	case released != "" && released != "(devel)" && !strings.Contains(released, "+dirty"):
		return released
	}
	return "program " + hash()
}

// programHash is a hash of the file of this program.
func programHash() string {
	f, err := os.Open("/proc/self/exe") // the program that runs, even if another took its place since
	if err != nil {
		var name string
		if name, err = os.Executable(); err == nil {
			f, err = os.Open(name)
		}
	}
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unknown"
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
