//go:build linux && cgo && !noxla && (amd64 || arm64)

package compiled

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "pjrt.h"

extern void *lmkitCompile(struct lmkit_compile *);

static struct lmkit_table *lmkit_plugin;

// lmkit_open loads a plugin and makes a copy of its table, in which compiling is this package's.
static const char *lmkit_open(const char *file, struct lmkit_table **copy) {
	void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
	if (!library) return dlerror();
	struct lmkit_table *(*table)(void) = (struct lmkit_table *(*)(void))dlsym(library, "GetPjrtApi");
	if (!table) return "it lacks the symbol GetPjrtApi";
	lmkit_plugin = table();
	if (!lmkit_plugin || lmkit_plugin->version.major != 0 ||
		lmkit_plugin->size < offsetof(struct lmkit_table, functions) + LMKIT_FUNCTIONS * sizeof(void *))
		return "its interface is of another version";
	*copy = malloc(lmkit_plugin->size);
	if (!*copy) return "there is no memory";
	memcpy(*copy, lmkit_plugin, lmkit_plugin->size);
	(*copy)->functions[LMKIT_CLIENT_COMPILE] = (void *(*)(void *))lmkitCompile;
	return NULL;
}

static void *lmkit_call(int function, void *arguments) { return lmkit_plugin->functions[function](arguments); }

static void *lmkit_load(void *client, const char *bytes, size_t size, void **executable) {
	struct lmkit_load a = {.size = sizeof a, .client = client, .bytes = bytes, .bytes_size = size};
	void *error = lmkit_call(LMKIT_EXECUTABLE_DESERIALIZE_AND_LOAD, &a);
	*executable = a.executable;
	return error;
}

// lmkit_serialize fills in the bytes of a loaded executable, which live until lmkit_release.
static void *lmkit_serialize(void *loaded, struct lmkit_serialize *s) {
	struct lmkit_executable e = {.size = sizeof e, .loaded = loaded};
	void *error = lmkit_call(LMKIT_LOADED_EXECUTABLE_GET_EXECUTABLE, &e);
	if (error) return error;
	memset(s, 0, sizeof *s);
	s->size = sizeof *s;
	s->executable = e.executable;
	return lmkit_call(LMKIT_EXECUTABLE_SERIALIZE, s);
}

static void lmkit_forget(void *error) {
	struct lmkit_destroy d = {.size = sizeof d, .what = error};
	if (error) lmkit_call(LMKIT_ERROR_DESTROY, &d);
}

static void lmkit_release(struct lmkit_serialize *s) {
	if (s->release) s->release(s->holder);
	struct lmkit_destroy d = {.size = sizeof d, .what = s->executable};
	if (d.what) lmkit_forget(lmkit_call(LMKIT_EXECUTABLE_DESTROY, &d));
}

static size_t lmkit_devices(void *client) {
	struct lmkit_devices a = {.size = sizeof a, .client = client};
	lmkit_forget(lmkit_call(LMKIT_CLIENT_ADDRESSABLE_DEVICES, &a));
	return a.count;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"
)

// Works reports whether programs can be kept on this system.
const Works = true

// installed is the cache of the one plugin that a process loads.
var installed atomic.Pointer[Cache]

// Install has the programs of a plugin kept in a cache. It loads the plugin and hands it to go-xla with a table of
// functions in which compiling looks into the cache first: so it comes before anything else loads the plugin, once a
// process. One goroutine at a time may call it.
func Install(plugin string, c *Cache) error {
	if installed.Load() != nil {
		return errors.New("this process keeps the programs of another plugin already")
	}
	name := C.CString(plugin)
	defer C.free(unsafe.Pointer(name))
	var table *C.struct_lmkit_table
	if wrong := C.lmkit_open(name, &table); wrong != nil {
		return fmt.Errorf("load the plugin %s: %s", plugin, C.GoString(wrong))
	}
	installed.Store(c)
	return pjrt.RegisterPreloadedPlugin(plugin, uintptr(unsafe.Pointer(table)))
}

// lmkitCompile is what go-xla calls in place of the plugin's function.
//
//export lmkitCompile
func lmkitCompile(a *C.struct_lmkit_compile) unsafe.Pointer {
	c := installed.Load()
	key := c.key(view(a.program.format, a.program.format_size), nameless(view(a.program.code, a.program.code_size)),
		view(a.options, a.options_size), strconv.AppendUint(nil, uint64(C.lmkit_devices(a.client)), 10))
	if program, ok := c.get(key); ok && len(program) > 0 {
		wrong := C.lmkit_load(a.client, (*C.char)(unsafe.Pointer(&program[0])), C.size_t(len(program)), &a.executable)
		if wrong == nil {
			loads.Add(1)
			return nil
		}
		C.lmkit_forget(wrong)
		c.drop(key)
	}
	begin := time.Now()
	if wrong := C.lmkit_call(C.LMKIT_CLIENT_COMPILE, unsafe.Pointer(a)); wrong != nil {
		return wrong
	}
	compiles.Add(1)
	took := time.Since(begin)
	var s C.struct_lmkit_serialize
	wrong := C.lmkit_serialize(a.executable, &s)
	if wrong == nil {
		_ = c.put(key, view(s.bytes, s.bytes_size), took) // what cannot be kept is compiled again
	}
	C.lmkit_forget(wrong)
	C.lmkit_release(&s)
	return nil
}

// view is memory of C as bytes, without a copy.
func view(p *C.char, n C.size_t) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n)) }
