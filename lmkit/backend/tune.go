package backend

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// EnvTune turns [Tune] off when it is "off".
const EnvTune = "LMKIT_TUNE"

// envTunables is where glibc reads its settings when a process starts, and at no other time.
const envTunables = "GLIBC_TUNABLES"

// envThreads is how many threads XLA's plugin computes with; it is read when the plugin is loaded. By itself the plugin
// takes a processor's number of cores, however few of them a container may use, and never less than its number of
// devices.
const envThreads = "PJRT_NPROC"

// tunables keep large buffers in the process: by default glibc hands each back to the system and asks for it anew, and
// the page faults cost an LSTM's training step a fifth of its time.
const tunables = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:" +
	"glibc.malloc.arena_max=1"

// Tune starts the program anew, once, with allocator settings that make XLA on the CPU faster. Call it first thing in
// main: whatever ran before it runs again. Process, arguments, standard streams and signals stay the same. It does
// nothing, and returns, when the settings are there, when the environment already sets glibc's allocator, when
// LMKIT_TUNE is off, and where there is no glibc to set.
//
// It also has XLA compute with as many threads as Go may use, which in a container are fewer than the machine has
// cores, where PJRT_NPROC does not say otherwise. Only Tune, and what it asks for, changes the environment of a
// program: one that does not call it sets what it wants before it starts.
//
// It lets [Open] start the program once more, as a child that tries XLA's plugin on the processor: once for each plugin
// and setting, whether compiled programs can be stored and loaded again; and, where they are not kept, whether the
// plugin takes flags for oneDNN, which Open then sets.
func Tune() {
	if plugin := os.Getenv(envProbe); plugin != "" {
		if err := probed(plugin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	probing = true
	if os.Getenv(envThreads) == "" {
		os.Setenv(envThreads, strconv.Itoa(runtime.GOMAXPROCS(0)))
	}
	env, again := tuned(os.Environ())
	if again {
		restart(env) // returns only if it cannot
	}
	// What is set is set: programs that this one starts need not inherit it.
	if os.Getenv(envTunables) == tunables {
		os.Unsetenv(envTunables)
	}
}

// TuneEnv returns an environment with the settings of [Tune], for programs that this one starts; env itself where Tune
// would do nothing.
func TuneEnv(env []string) []string {
	with, _ := tuned(env)
	return with
}

// tuned is the environment with the settings, and whether they are missing and wanted.
func tuned(env []string) (with []string, again bool) {
	value := ""
	for _, e := range env {
		name, v, _ := strings.Cut(e, "=")
		switch name {
		case EnvTune:
			if v == "off" {
				return env, false
			}
		case envTunables:
			value = v
			continue
		}
		with = append(with, e)
	}
	if strings.Contains(value, "glibc.malloc.") {
		return env, false
	}
	if value != "" {
		value += ":"
	}
	return append(with, envTunables+"="+value+tunables), true
}
