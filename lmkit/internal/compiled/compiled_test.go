package compiled

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// open opens a cache in a folder.
func open(t *testing.T, folder string, setting ...string) *Cache {
	t.Helper()
	t.Setenv(Env, folder)
	c, err := Open(setting...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keep puts a program into a cache under a name.
func keep(t *testing.T, c *Cache, name string, program []byte) sum {
	t.Helper()
	key := c.key([]byte(name))
	if err := c.put(key, program, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	return key
}

// names are those of the files in a folder.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What was put under a key comes back under it, and under no other key and no other setting.
func TestKeeps(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	c := open(t, folder, "plugin", "flags")
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v; want it for the user alone", info.Mode(), err)
	}
	one, two := keep(t, c, "one", []byte("program one")), keep(t, c, "two", nil)
	for key, want := range map[sum]string{one: "program one", two: ""} {
		if got, ok := c.get(key); !ok || string(got) != want {
			t.Errorf("%q, %v; want %q", got, ok, want)
		}
	}
	if got, ok := c.get(c.key([]byte("o"), []byte("ne"))); ok {
		t.Errorf("%q under a key that nothing was put under", got)
	}
	for _, setting := range [][]string{{"plugin 2", "flags"}, {"pluginflags"}, {"plugin", "flags", ""}, nil} {
		other := open(t, folder, setting...)
		if got, ok := other.get(other.key([]byte("one"))); ok {
			t.Errorf("setting %q: %q of another setting", setting, got)
		}
		// Nor the very file, put where this setting would look for it.
		data, err := os.ReadFile(c.file(one))
		if err == nil {
			err = os.WriteFile(other.file(other.key([]byte("one"))), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := other.get(other.key([]byte("one"))); ok {
			t.Errorf("setting %q: %q of another setting, renamed", setting, got)
		}
		if s, err := other.Stat(); err != nil || s.Programs != 2 || s.Here != 0 || s.Took != 0 {
			t.Errorf("setting %q: %+v, %v", setting, s, err)
		}
	}
	if s, err := c.Stat(); err != nil || s.Programs != 2 || s.Here != 2 || s.Took != 6*time.Second ||
		s.Bytes != int64(2*headSize+len("program one")) {
		t.Errorf("%+v, %v", s, err)
	}
}

// A program is not loaded, and its file is removed, when any of its bits or its length is another.
func TestDamage(t *testing.T) {
	c := open(t, t.TempDir())
	program := bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, 30)
	key := keep(t, c, "one", program)
	whole, err := os.ReadFile(c.file(key))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, data []byte) {
		t.Helper()
		if err := os.WriteFile(c.file(key), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.get(key); ok {
			t.Errorf("%s %d: loaded %q", what, at, got)
		}
		if _, err := os.Stat(c.file(key)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s %d: the file is still there: %v", what, at, err)
		}
	}
	for i := range whole {
		for bit := range 8 {
			data := slices.Clone(whole)
			data[i] ^= 1 << bit
			refused("bit", 8*i+bit, data)
		}
		refused("length", i, whole[:i])
	}
	refused("length", len(whole)+1, append(slices.Clone(whole), 0))
	// One whose checksum is right and whose key is another one's.
	other := keep(t, c, "two", program)
	data, err := os.ReadFile(c.file(other))
	if err != nil {
		t.Fatal(err)
	}
	refused("key", 0, data)
	if got, ok := c.get(other); !ok || !bytes.Equal(got, program) {
		t.Error("the other program is gone")
	}
}

// Whatever a file holds, nothing but what was put there comes out.
func FuzzGet(f *testing.F) {
	c := &Cache{Folder: f.TempDir(), limit: Limit}
	c.root = c.Folder
	key, program := c.key([]byte("one")), []byte("program")
	if err := c.put(key, program, time.Second); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(c.file(key))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:headSize])
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(c.file(key), data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, ok := c.get(key)
		if ok && sha256.Sum256(data[len(magic)+sha256.Size:]) != sum(data[len(magic):]) {
			t.Errorf("%q comes out of a file with a wrong checksum", got)
		}
	})
}

// The folder holds as much as the limit; what was loaded or put longest ago goes first, and what a killed process left
// goes after an hour. Other files are left alone.
func TestLimit(t *testing.T) {
	c := open(t, t.TempDir())
	program := make([]byte, 1000)
	c.limit = 5 * int64(headSize+len(program))
	for name, age := range map[string]time.Duration{"mine.txt": 0, making + "old": 2 * time.Hour, making + "new": 0} {
		path := filepath.Join(c.Folder, name)
		if err := os.WriteFile(path, program, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	var order []sum // the least used first
	rng := rand.New(rand.NewPCG(1, 2))
	clock := time.Now().Add(-time.Hour)
	for i := range 60 {
		key := c.key([]byte{byte(rng.IntN(8))})
		used := slices.Index(order, key)
		if _, ok := c.get(key); ok != (used >= 0) {
			t.Fatalf("step %d: kept %v, want %v", i, ok, used >= 0)
		}
		if used >= 0 {
			order = slices.Delete(order, used, used+1)
		} else if err := c.put(key, program, 0); err != nil {
			t.Fatal(err)
		}
		order = append(order, key)
		order = order[max(0, len(order)-5):]
		clock = clock.Add(time.Second) // a file system may know seconds alone
		if err := os.Chtimes(c.file(key), clock, clock); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, c.Folder); len(got) != 7 || !slices.Contains(got, "mine.txt") ||
		!slices.Contains(got, making+"new") {
		t.Errorf("the folder holds %q", got)
	}
	if err := c.put(c.key([]byte("large")), make([]byte, c.limit), 0); err != nil {
		t.Error(err)
	}
	if s, err := c.Stat(); err != nil || s.Programs != 5 {
		t.Errorf("a program that is larger than the limit: %v, %v", s, err)
	}
	if s, err := c.Clear(); err != nil || s.Programs != 5 || s.Bytes != c.limit {
		t.Errorf("cleared %+v, %v", s, err)
	}
	if got := names(t, c.Folder); !slices.Equal(got, []string{"mine.txt"}) {
		t.Errorf("after clearing, the folder holds %q", got)
	}
}

// Many at once, in a folder that is too small for them, never see but what was put under a key.
func TestTogether(t *testing.T) {
	c := open(t, t.TempDir())
	c.limit = 10_000
	var wg sync.WaitGroup
	for i := range byte(8) {
		wg.Go(func() {
			for j := range byte(50) {
				n := (i + j) % 16
				want := bytes.Repeat([]byte{n}, 100*int(n+1))
				key := c.key([]byte{n})
				if got, ok := c.get(key); ok && !bytes.Equal(got, want) {
					t.Errorf("%d bytes of another program", len(got))
				}
				if err := c.put(key, want, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(c.Folder, making+"*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// What cannot be written is an error that leaves nothing behind, and what is there still loads.
func TestCannotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	c := open(t, t.TempDir())
	key := keep(t, c, "one", []byte("program"))
	if err := os.Chmod(c.Folder, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(c.Folder, 0o700)
	if err := c.put(c.key([]byte("two")), []byte("program"), 0); err == nil {
		t.Error("written to a folder that cannot be written")
	}
	if got, ok := c.get(key); !ok || string(got) != "program" {
		t.Errorf("%q, %v from a folder that can be read", got, ok)
	}
}

// A folder or a file that others could have written in is not used.
func TestOthers(t *testing.T) {
	c := open(t, t.TempDir())
	key := keep(t, c, "one", []byte("program"))
	if err := os.Chmod(c.file(key), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.get(key); ok {
		t.Errorf("%q, which others can write", got)
	}
	if err := os.Chmod(c.file(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.get(key); !ok {
		t.Error("the program is lost")
	}
	if err := os.Chmod(c.Folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), Env) || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("%v, want what is wrong and the cure", err)
	}
	if got, ok := c.get(key); ok {
		t.Errorf("%q from a folder that others can write", got)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(c.Folder, 0o700), os.Chown(c.Folder, 4321, 4321)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("%v, want that the folder is another user's", err)
	}
}

// Without a name, the folder is in the user's cache folder; "off" means none, and a file is no folder.
func TestFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", home)
	c := open(t, "")
	if want := filepath.Join(home, "lmkit", "programs"); c.Folder != want {
		t.Errorf("%s, want %s", c.Folder, want)
	}
	if info, err := os.Stat(c.Folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want it for the user alone", info.Mode(), err)
	}
	keep(t, c, "one", []byte("program"))
	t.Setenv(Env, "off")
	if _, err := Open(); !errors.Is(err, ErrOff) {
		t.Errorf("%v, want that it is off", err)
	}
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Env, file)
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), Env) {
		t.Errorf("%v, want that %s names no folder", err, Env)
	}
}

// Two texts that differ in the names of their modules alone are one program.
func TestNameless(t *testing.T) {
	for text, want := range map[string]string{
		"module @f_1 {\n  func @main":                  " {\n  func @main",
		"module @g_22 attributes {n = 1 : i32} {\n  f": " attributes {n = 1 : i32} {\n  f",
		"module {\n  func @main":                       "module {\n  func @main",
		"module @f":                                    "f",
		" module @f_1 {":                               " module @f_1 {",
		"":                                             "",
	} {
		if got := nameless([]byte(text)); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The processor is what of /proc/cpuinfo does not change from core to core and from second to second.
func TestProcessor(t *testing.T) {
	const amd = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC\ncpu MHz\t\t: 2595.1\n" +
		"flags\t\t: fpu avx512f\n\n" +
		"processor\t: 1\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC\ncpu MHz\t\t: 2611.9\nflags\t\t: fpu avx512f\n"
	got, err := processor(amd)
	if want := "vendor_id: AuthenticAMD\nmodel name: EPYC\nflags: fpu avx512f"; got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, text := range []string{"", "processor: 0\n", "\n:\n"} {
		if got, err := processor(text); err == nil {
			t.Errorf("%q out of %q", got, text)
		}
	}
	if a, b := must(processor(amd)), must(processor(strings.ReplaceAll(amd, " avx512f", ""))); a == b {
		t.Error("a flag makes no difference")
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// The structures in pjrt.h, and the places of functions in the table, are those of the header that go-xla is built
// with.
func TestInterface(t *testing.T) {
	if !Works {
		t.Skip("the interface is not used here")
	}
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "test.c")
	if err := os.WriteFile(source, []byte(interfaceTest), 0o600); err != nil {
		t.Fatal(err)
	}
	compiler, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strings.TrimSpace(string(compiler)), "-fsyntax-only", "-I.",
		"-I"+filepath.Join(strings.TrimSpace(string(folder)), "pjrt"), source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

const interfaceTest = `
#include "pjrt_c_api.h"
#include "pjrt.h"

#define SAME(what, a, b) _Static_assert((a) == (b), what)
#define SIZE(ours, theirs) SAME(#theirs " has another size", sizeof(struct ours), theirs##_STRUCT_SIZE)
#define FIELD(ours, a, theirs, b) \
	SAME(#theirs "." #b " is elsewhere", offsetof(struct ours, a), offsetof(theirs, b)); \
	SAME(#theirs "." #b " has another size", sizeof(((struct ours *)0)->a), sizeof(((theirs *)0)->b))
#define FUNCTION(ours, theirs) \
	SAME(#theirs " is elsewhere", offsetof(struct lmkit_table, functions) + ours * sizeof(void *), \
		offsetof(PJRT_Api, theirs)); \
	_Static_assert(ours < LMKIT_FUNCTIONS, #theirs " may be missing")

SAME("the interface has another version", PJRT_API_MAJOR, 0);
FIELD(lmkit_table, size, PJRT_Api, struct_size);
FIELD(lmkit_table, version.major, PJRT_Api, pjrt_api_version.major_version);
FUNCTION(LMKIT_ERROR_DESTROY, PJRT_Error_Destroy);
FUNCTION(LMKIT_CLIENT_ADDRESSABLE_DEVICES, PJRT_Client_AddressableDevices);
FUNCTION(LMKIT_CLIENT_COMPILE, PJRT_Client_Compile);
FUNCTION(LMKIT_EXECUTABLE_DESTROY, PJRT_Executable_Destroy);
FUNCTION(LMKIT_EXECUTABLE_SERIALIZE, PJRT_Executable_Serialize);
FUNCTION(LMKIT_LOADED_EXECUTABLE_GET_EXECUTABLE, PJRT_LoadedExecutable_GetExecutable);
FUNCTION(LMKIT_EXECUTABLE_DESERIALIZE_AND_LOAD, PJRT_Executable_DeserializeAndLoad);

SIZE(lmkit_program, PJRT_Program);
FIELD(lmkit_program, code, PJRT_Program, code);
FIELD(lmkit_program, code_size, PJRT_Program, code_size);
FIELD(lmkit_program, format, PJRT_Program, format);
FIELD(lmkit_program, format_size, PJRT_Program, format_size);

SIZE(lmkit_compile, PJRT_Client_Compile_Args);
FIELD(lmkit_compile, client, PJRT_Client_Compile_Args, client);
FIELD(lmkit_compile, program, PJRT_Client_Compile_Args, program);
FIELD(lmkit_compile, options, PJRT_Client_Compile_Args, compile_options);
FIELD(lmkit_compile, options_size, PJRT_Client_Compile_Args, compile_options_size);
FIELD(lmkit_compile, executable, PJRT_Client_Compile_Args, executable);

SIZE(lmkit_load, PJRT_Executable_DeserializeAndLoad_Args);
FIELD(lmkit_load, client, PJRT_Executable_DeserializeAndLoad_Args, client);
FIELD(lmkit_load, bytes, PJRT_Executable_DeserializeAndLoad_Args, serialized_executable);
FIELD(lmkit_load, bytes_size, PJRT_Executable_DeserializeAndLoad_Args, serialized_executable_size);
FIELD(lmkit_load, executable, PJRT_Executable_DeserializeAndLoad_Args, loaded_executable);
FIELD(lmkit_load, options, PJRT_Executable_DeserializeAndLoad_Args, overridden_serialized_compile_options);
FIELD(lmkit_load, options_size, PJRT_Executable_DeserializeAndLoad_Args, overridden_serialized_compile_options_size);

SIZE(lmkit_serialize, PJRT_Executable_Serialize_Args);
FIELD(lmkit_serialize, executable, PJRT_Executable_Serialize_Args, executable);
FIELD(lmkit_serialize, bytes, PJRT_Executable_Serialize_Args, serialized_bytes);
FIELD(lmkit_serialize, bytes_size, PJRT_Executable_Serialize_Args, serialized_bytes_size);
FIELD(lmkit_serialize, holder, PJRT_Executable_Serialize_Args, serialized_executable);
FIELD(lmkit_serialize, release, PJRT_Executable_Serialize_Args, serialized_executable_deleter);

SIZE(lmkit_executable, PJRT_LoadedExecutable_GetExecutable_Args);
FIELD(lmkit_executable, loaded, PJRT_LoadedExecutable_GetExecutable_Args, loaded_executable);
FIELD(lmkit_executable, executable, PJRT_LoadedExecutable_GetExecutable_Args, executable);

SIZE(lmkit_destroy, PJRT_Executable_Destroy_Args);
SIZE(lmkit_destroy, PJRT_Error_Destroy_Args);
FIELD(lmkit_destroy, what, PJRT_Executable_Destroy_Args, executable);
FIELD(lmkit_destroy, what, PJRT_Error_Destroy_Args, error);

SIZE(lmkit_devices, PJRT_Client_AddressableDevices_Args);
FIELD(lmkit_devices, client, PJRT_Client_AddressableDevices_Args, client);
FIELD(lmkit_devices, devices, PJRT_Client_AddressableDevices_Args, addressable_devices);
FIELD(lmkit_devices, count, PJRT_Client_AddressableDevices_Args, num_addressable_devices);
`
