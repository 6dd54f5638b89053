package fetch

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lmkit.internal/lmkit/progress"
)

func TestMain(m *testing.M) {
	pause = 0
	os.Exit(m.Run())
}

// data is a file to download; a different one for each seed.
func data(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// server is a file server that can misbehave, and remembers what it was asked.
type server struct {
	body    []byte
	etag    string
	noRange bool
	cut     []int // the i-th answer breaks off after so many bytes (-1: complete); later ones are complete
	status  []int // the i-th answer is this status, if not 0

	mu     sync.Mutex
	ranges []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	i := len(s.ranges)
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	if i < len(s.status) && s.status[i] != 0 {
		w.WriteHeader(s.status[i])
		return
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if s.noRange {
		r.Header.Del("Range")
	}
	if i < len(s.cut) && s.cut[i] >= 0 {
		w = &cutter{ResponseWriter: w, left: s.cut[i]}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.body))
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ReadFrom keeps io.Copy from going round Write.
func (c *cutter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// fileCase is a download: what the server does, what is there before, and what comes of it.
type fileCase struct {
	name       string
	server     *server
	sum        string
	dest       []byte // already there
	part, tag  []byte // left by an earlier call
	wantErr    string // part of the message; the destination must not exist then
	wantRanges string // comma-separated Range headers; "none": the server is not asked
}

func TestFile(t *testing.T) {
	body, other := data(1, 300_000), data(2, 200_000)
	for _, c := range []fileCase{
		{name: "complete", server: &server{body: body}, sum: sum(body)},
		{name: "sum in capitals", server: &server{body: body}, sum: strings.ToUpper(sum(body))},
		{name: "no sum", server: &server{body: body}},
		{name: "empty file", server: &server{body: []byte{}}},
		{name: "cut, then continued", server: &server{body: body, etag: `"1"`, cut: []int{100_000}}, sum: sum(body),
			wantRanges: ",bytes=100000-"},
		{name: "cut six times, always with progress", server: &server{body: body, etag: `"1"`,
			cut: []int{10, 10, 10, 10, 10, 10}}, wantRanges: ",bytes=10-,bytes=20-,bytes=30-,bytes=40-,bytes=50-,bytes=60-"},
		{name: "cut, server without Range", server: &server{body: body, noRange: true, cut: []int{100_000}}, sum: sum(body),
			wantRanges: ",bytes=100000-"},
		{name: "continues an earlier call", server: &server{body: body}, sum: sum(body), part: body[:1234],
			wantRanges: "bytes=1234-"},
		{name: "part was complete", server: &server{body: body}, sum: sum(body), part: body, wantRanges: "bytes=300000-"},
		{name: "part is too long", server: &server{body: other}, sum: sum(other), part: body, wantRanges: "bytes=300000-,"},
		{name: "part of another file", server: &server{body: body}, sum: sum(body), part: other,
			wantRanges: "bytes=200000-,"},
		{name: "part of unknown version, no sum", server: &server{body: body}, part: other, wantRanges: ""},
		{name: "the file changed on the server", server: &server{body: body, etag: `"2"`}, part: other,
			tag: []byte("URL\n\"1\""), wantRanges: "bytes=200000-"},
		{name: "busy, then well", server: &server{body: body, status: []int{503, 429, 500}}, sum: sum(body),
			wantRanges: ",,,"},
		{name: "already there", server: &server{body: body}, sum: sum(body), dest: body, wantRanges: "none"},
		{name: "already there, no sum", server: &server{body: body}, dest: body, wantRanges: "none"},
		{name: "another one there", server: &server{body: body}, sum: sum(body), dest: other},

		{name: "wrong sum", server: &server{body: body}, sum: sum(other), wantErr: "wrong checksum: expected SHA-256 " +
			sum(other)},
		{name: "wrong sum after continuing", server: &server{body: body}, sum: sum(other), part: body[:10],
			wantErr: "wrong checksum", wantRanges: "bytes=10-,"},
		{name: "not found", server: &server{body: body, status: []int{404}}, wantErr: "404 Not Found: check the address"},
		{name: "always busy", server: &server{body: body, status: []int{503, 503, 503, 503}},
			wantErr:    "503 Service Unavailable (gave up",
			wantRanges: ",,,"},
		{name: "bad sum", server: &server{body: body}, sum: "abc", wantErr: "not a SHA-256 checksum", wantRanges: "none"},
	} {
		t.Run(c.name, c.check)
	}
}

// check downloads the file, and looks at what was asked for and what is there afterwards.
func (c fileCase) check(t *testing.T) {
	srv := httptest.NewServer(c.server)
	defer srv.Close()
	dest := filepath.Join(t.TempDir(), "sub", "file")
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dest, c.dest)
	put(t, dest+".part", c.part)
	put(t, dest+".part.tag", bytes.ReplaceAll(c.tag, []byte("URL"), []byte(srv.URL)))
	var last progress.Event
	err := File(context.Background(), Request{
		URL: srv.URL, SHA256: c.sum, Dest: dest, Progress: func(e progress.Event) { last = e },
	})
	asked, want := strings.Join(c.server.ranges, ","), c.wantRanges
	if want == "none" {
		if len(c.server.ranges) > 0 {
			t.Errorf("asked for ranges %q, want nothing", asked)
		}
	} else if asked != want {
		t.Errorf("asked for ranges %q, want %q", asked, want)
	}
	if c.wantErr != "" {
		c.checkError(t, err, dest)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dest)
	if err != nil || !bytes.Equal(got, c.server.body) {
		t.Fatalf("got %d bytes (%v), want the server's %d", len(got), err, len(c.server.body))
	}
	if n := int64(len(got)); last.Done != 0 && (last.Done != n || last.Total != n) {
		t.Errorf("last progress %d of %d, want %d of %d", last.Done, last.Total, n, n)
	}
	for _, left := range []string{".part", ".part.tag"} {
		if _, err := os.Stat(dest + left); err == nil && want != "none" {
			t.Errorf("%s was left behind", left)
		}
	}
}

// checkError expects the case's error, on one line, and no file.
func (c fileCase) checkError(t *testing.T, err error, dest string) {
	if err == nil || !strings.Contains(err.Error(), c.wantErr) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v, want one line with %q", err, c.wantErr)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("the file is there in spite of the error")
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if len(b) == 0 {
		return
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Where the size is known, a server that ends too early is asked for the rest, and one that does not end is left.
func TestSizeIsKnown(t *testing.T) {
	body := data(1, 300_000)
	var sent atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer me" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		from := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
		}
		if r.URL.Path == "/endless" {
			for range 1000 {
				if n, err := w.Write(body); err != nil {
					return
				} else {
					sent.Add(int64(n))
				}
			}
			return
		}
		_, _ = w.Write(body[from:min(from+120_000, len(body))]) // without a Content-Length
		_ = http.NewResponseController(w).Flush()
	}))
	defer srv.Close()
	blob := sha1.Sum(append([]byte("blob 300000\x00"), body...))
	req := Request{URL: srv.URL, Dest: filepath.Join(t.TempDir(), "file"), Size: 300_000,
		Blob:   hex.EncodeToString(blob[:]),
		Header: http.Header{"Authorization": {"Bearer me"}}}
	if err := File(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(req.Dest); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	wrong := req
	wrong.Dest, wrong.Blob = req.Dest+"2", strings.Repeat("0", 40)
	if err := File(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "expected git's SHA-1 000") {
		t.Errorf("another blob: %v", err)
	}
	endless := req
	endless.URL, endless.Dest = srv.URL+"/endless", req.Dest+"3"
	if err := File(t.Context(), endless); err == nil || !strings.Contains(err.Error(), "more than the 300000 bytes") {
		t.Errorf("endless: %v", err)
	}
	if n := sent.Load(); n > 100_000_000 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestFileCancelledKeepsPart(t *testing.T) {
	body := data(1, 300_000)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:100_000])
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	defer slow.Close()
	defer close(release)
	dest := filepath.Join(t.TempDir(), "file")
	ctx, cancel := context.WithCancel(context.Background())
	err := File(ctx, Request{URL: slow.URL, Dest: dest, Progress: func(e progress.Event) {
		if e.Done == 100_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	part, err := os.ReadFile(dest + ".part")
	if err != nil || !bytes.Equal(part, body[:100_000]) {
		t.Fatalf("part has %d bytes (%v), want the 100000 that came", len(part), err)
	}
	whole := &server{body: body}
	srv := httptest.NewServer(whole)
	defer srv.Close()
	if err := File(context.Background(), Request{URL: srv.URL, Dest: dest, SHA256: sum(body)}); err != nil {
		t.Fatal(err)
	}
	if whole.ranges[0] != "bytes=100000-" {
		t.Errorf("asked for %q, want the rest", whole.ranges[0])
	}
}

func TestFileStalled(t *testing.T) {
	defer func(d time.Duration) { stall = d }(stall)
	stall = 20 * time.Millisecond
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	err := File(context.Background(), Request{URL: srv.URL, Dest: filepath.Join(t.TempDir(), "file")})
	if err == nil || !strings.Contains(err.Error(), "sent nothing for 20ms") {
		t.Fatalf("error %v, want one about the silence", err)
	}
}

func TestFileConcurrent(t *testing.T) {
	s := &server{body: data(1, 300_000)}
	srv := httptest.NewServer(s)
	defer srv.Close()
	dest := filepath.Join(t.TempDir(), "file")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := File(context.Background(), Request{URL: srv.URL, Dest: dest, SHA256: sum(s.body)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(s.ranges) != 1 {
		t.Errorf("downloaded %d times, want once", len(s.ranges))
	}
}

func TestFileBadRequest(t *testing.T) {
	for _, address := range []string{"", "file:///etc/hosts", "http://", "://", "host/path"} {
		dest := filepath.Join(t.TempDir(), "file")
		if err := File(context.Background(), Request{URL: address, Dest: dest}); err == nil ||
			!strings.Contains(err.Error(), "not an http or https address") {
			t.Errorf("%q: error %v", address, err)
		}
	}
	err := File(context.Background(), Request{URL: "https://user:secret@example.invalid/x"})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "no destination") {
		t.Errorf("error %v, want one without the password", err)
	}
}
