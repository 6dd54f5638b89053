package corpus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"lmkit.internal/lmkit/progress"
)

type row struct {
	Page int    `parquet:"page"`
	Text string `parquet:"text"`
}

// table returns a Parquet file with these rows, in groups of two rows.
func table[T any](t testing.TB, rows []T, options ...parquet.WriterOption) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	for i, r := range rows {
		if _, err := w.Write([]T{r}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	wikiRows = []row{{1, ""}, {2, " = Lobster = \n"}, {3, ""}, {4, " A <unk> lobster \n"}, {5, "no line break"}}
	wikiText = " \n = Lobster = \n \n A <unk> lobster \nno line break\n"
)

func TestReadParquet(t *testing.T) {
	type optional struct {
		Text *string `parquet:"text,optional"`
	}
	long := strings.Repeat("many words ", 30_000)
	for _, tt := range []struct {
		name, file, want, wantErr string
	}{
		{name: "plain", file: table(t, wikiRows), want: wikiText},
		{name: "snappy", file: table(t, wikiRows, parquet.Compression(&parquet.Snappy)), want: wikiText},
		{name: "zstd, version 1", file: table(t, wikiRows, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1)),
			want: wikiText},
		{name: "null", file: table(t, []optional{{new("a")}, {nil}}), want: "a\n \n"},
		{name: "long", file: table(t, []row{{1, long}, {2, long}, {3, long}}), want: strings.Repeat(long+"\n", 3)},
		{name: "no column", file: table(t, []struct{ Words string }{{"a"}}), wantErr: `no column "text"`},
		{name: "numbers", file: table(t, []struct {
			Text int `parquet:"text"`
		}{{1}}), wantErr: `no column "text" of strings`},
		{name: "lists", file: table(t, []struct {
			Text []string `parquet:"text"`
		}{{[]string{"a"}}}), wantErr: `no column "text" of strings`},
		{name: "not UTF-8", file: table(t, []row{{1, "caf\xe9"}}), wantErr: "not UTF-8 (byte 0xe9 at offset 3)"},
		{name: "no rows", file: table(t, []row{}), wantErr: "is empty"},
		{name: "empty", file: "", wantErr: "not a Parquet file"},
		{name: "footer of 800 MB", file: "PAR1PAR1PAR1", wantErr: "claims more than it holds"},
		{name: "text", file: "hello", wantErr: "not a Parquet file"},
		{name: "cut", file: table(t, wikiRows)[:100], wantErr: "not a Parquet file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(folder(t, map[string]string{"x.parquet": tt.file}), "x.parquet")
			d, err := readParquet(file)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), file) ||
					strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with the path and %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || d.Text != tt.want || d.Name != file {
				t.Fatalf("%.80q (%v), want %.80q", d.Text, err, tt.want)
			}
		})
	}
}

// TestCheckPages checks claims before the reader would allocate them.
func TestCheckPages(t *testing.T) {
	page := func(packed, unpacked int32, body int) string {
		b, err := thrift.Marshal(&thrift.CompactProtocol{}, &format.PageHeader{CompressedPageSize: packed,
			UncompressedPageSize: unpacked})
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + strings.Repeat("x", body)
	}
	honest := page(100, 1000, 100)
	for _, tt := range []struct {
		name, file   string
		from, length int64
		wantErr      bool
	}{
		{"honest", honest + honest, 0, int64(2 * len(honest)), false},
		{"second half", honest + honest, int64(len(honest)), int64(len(honest)), false},
		{"nothing", honest, 0, 0, false},
		{"more than the chunk", page(101, 1000, 100), 0, int64(len(honest)), true},
		{"second one lies", honest + page(101, 1000, 100), 0, int64(2 * len(honest)), true},
		{"unpacks to 2 GB", page(100, 1<<31-1, 100), 0, int64(len(page(100, 1<<31-1, 100))), true},
		{"negative", page(-1, 1000, 100), 0, int64(len(page(-1, 1000, 100))), true},
		{"beyond the end", honest, 0, 1 << 60, true},
		{"before the start", honest, -1, 10, true},
	} {
		err := checkPages(strings.NewReader(tt.file), int64(len(tt.file)), format.ColumnMetaData{DataPageOffset: tt.from,
			TotalCompressedSize: tt.length})
		if (err != nil) != tt.wantErr {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func FuzzParquet(f *testing.F) {
	f.Add([]byte(table(f, wikiRows)))
	f.Add([]byte(table(f, wikiRows, parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1))))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := parquetText(bytes.NewReader(b), int64(len(b)))
		if err != nil && text != "" {
			t.Fatalf("text %q in spite of error %v", text, err)
		}
	})
}

func TestWikiText2Folder(t *testing.T) {
	parquetFile := table(t, wikiRows)
	for _, tt := range []struct {
		name                     string
		files                    map[string]string
		train, valid, test, want string
	}{
		{name: "tokens", files: map[string]string{"wiki.train.tokens": " a \n", "wiki.valid.tokens": " b \n",
			"wiki.test.tokens": " c \n"},
			train: " a \n", valid: " b \n", test: " c \n"},
		{name: "raw", files: map[string]string{"wiki.train.raw": "a", "wiki.valid.raw": "b", "wiki.test.raw": "c"},
			train: "a", valid: "b", test: "c"},
		{name: "parts", files: map[string]string{"valid.txt": "b", "test.txt": "c", "README": "x"}, valid: "b", test: "c"},
		{name: "parquet", files: map[string]string{"train-00000-of-00001.parquet": parquetFile,
			"validation-00000-of-00001.parquet": parquetFile},
			train: wikiText, valid: wikiText},
		{name: "none", files: map[string]string{"README": "x"}, want: "none of its files: need wiki.train.tokens, " +
			"or train.txt"},
		{name: "broken", files: map[string]string{"train.txt": "a", "test.txt": ""}, want: "test.txt is empty"},
	} {
		c, err := WikiText2(context.Background(), WikiTextConfig{Folder: folder(t, tt.files)})
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil || textOf(c.Train) != tt.train || textOf(c.Valid) != tt.valid || textOf(c.Test) != tt.test {
			t.Errorf("%s: %+v (%v)", tt.name, c, err)
		}
	}
	for _, missing := range []string{filepath.Join(t.TempDir(), "missing"), os.DevNull} {
		if _, err := WikiText2(context.Background(), WikiTextConfig{Folder: missing}); err == nil ||
			!strings.Contains(err.Error(), missing) {
			t.Errorf("%s: error %v", missing, err)
		}
	}
}

// site serves files and counts what is asked for.
type site struct {
	files map[string]string
	cut   int // the first answer of each file breaks off after so many bytes, if not 0

	mu    sync.Mutex
	asked []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	s.mu.Lock()
	first := !strings.Contains(strings.Join(s.asked, " "), name)
	s.asked = append(s.asked, name+r.Header.Get("Range"))
	s.mu.Unlock()
	text, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"1"`)
	if s.cut > 0 && first {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write([]byte(text[:s.cut]))
		return
	}
	if r.Header.Get("Range") == "bytes=10-" {
		w.Header().Set("Content-Range", "bytes 10-99/*")
		w.WriteHeader(http.StatusPartialContent)
		text = text[10:]
	}
	_, _ = w.Write([]byte(text))
}

func TestWikiText2Download(t *testing.T) {
	file := table(t, wikiRows)
	names := wikiTextNames[0]
	all := map[string]string{names[0]: file, names[1]: file, names[2]: file}
	digest := sha256.Sum256([]byte(file))
	right := hex.EncodeToString(digest[:])
	tokens := map[string]string{"wiki.train.tokens": " a \n", "wiki.valid.tokens": " b \n", "wiki.test.tokens": " c \n"}
	for _, tt := range []struct {
		name    string
		site    *site
		sums    map[string]string
		asked   int
		wantErr string
	}{
		{name: "parquet", site: &site{files: all}, asked: 3, sums: map[string]string{names[0]: right}},
		{name: "cut connections", site: &site{files: all, cut: 10}, asked: 6, sums: map[string]string{names[1]: right}},
		{name: "token files", site: &site{files: tokens}, asked: 4},
		{name: "nothing there", site: &site{}, asked: len(wikiTextNames), wantErr: "has none of the known files"},
		{name: "wrong checksum", site: &site{files: all}, asked: 2,
			sums:    map[string]string{names[1]: strings.Repeat("0", 64)},
			wantErr: names[1] + ": wrong checksum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.site)
			defer srv.Close()
			seen := map[string]int64{}
			c := WikiTextConfig{URL: srv.URL + "/some/folder/", Cache: t.TempDir(), SHA256: tt.sums,
				Progress: func(e progress.Event) { seen[e.What] = e.Done }}
			got, err := WikiText2(context.Background(), c)
			if len(tt.site.asked) != tt.asked {
				t.Errorf("asked for %q, want %d requests", tt.site.asked, tt.asked)
			}
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: wikiText, false: " a \n"}[tt.site.files[names[0]] != ""]
			if textOf(got.Train) != want || len(got.Valid) != 1 || len(got.Test) != 1 || len(seen) != 3 {
				t.Errorf("%+v, progress of %v", got, seen)
			}
			srv.Close() // the second time needs no server
			if again, err := WikiText2(context.Background(), c); err != nil || textOf(again.Train) != want {
				t.Errorf("from the cache: error %v", err)
			}
		})
	}
}

func TestWikiText2Environment(t *testing.T) {
	s := &site{files: map[string]string{"train.txt": "a", "valid.txt": "b", "test.txt": "c"}}
	srv := httptest.NewServer(s)
	defer srv.Close()
	cache := t.TempDir()
	t.Setenv(WikiTextEnv, srv.URL)
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv("LocalAppData", cache)
	c, err := WikiText2(context.Background(), WikiTextConfig{})
	if err != nil || textOf(c.Train) != "a" {
		t.Fatalf("%+v (%v)", c, err)
	}
	user, err := os.UserCacheDir()
	if err != nil || !strings.HasPrefix(c.Train[0].Name, filepath.Join(user, "lmkit", "wikitext-2")) {
		t.Errorf("%s is not in the cache folder %s (%v)", c.Train[0].Name, user, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := WikiText2(ctx, WikiTextConfig{Cache: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// realData returns a file of the real data sets, which are not part of the module.
func realData(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("LMKIT_TEST_DATA")
	for dir := "."; root == ""; dir = filepath.Join(dir, "..") {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			root = filepath.Join(dir, "..", "shared", "data")
		} else if abs, err := filepath.Abs(dir); err != nil || filepath.Dir(abs) == abs {
			t.Fatal("no go.mod above the test")
		}
	}
	file := filepath.Join(root, filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		t.Skipf("real data is absent: %v (set LMKIT_TEST_DATA to its folder)", err)
	}
	return file
}

// TestRealWikiText checks the number of tokens that everyone counts: words, and an end for each line.
func TestRealWikiText(t *testing.T) {
	c, err := WikiText2(context.Background(), WikiTextConfig{Folder: realData(t, "wikitext-2")})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{textOf(c.Valid): 217_646, textOf(c.Test): 245_569} {
		if got := len(strings.Fields(text)) + strings.Count(text, "\n"); got != want {
			t.Errorf("%d tokens, want %d", got, want)
		}
	}
}

// TestRealShakespeare checks that the split is the usual one: nine tenths of 1,115,394 characters, then the validation
// text that begins in the middle of a line.
func TestRealShakespeare(t *testing.T) {
	docs, err := Files(realData(t, "tinyshakespeare/input.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Cut("tinyshakespeare", docs, Split{Valid: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	if train, valid := textOf(c.Train), textOf(c.Valid); len(train) != 1_003_854 || len(valid) != 111_540 ||
		!strings.HasPrefix(valid, "?\n\nGREMIO:") {
		t.Errorf("%d and %d characters, the second beginning %.20q", len(train), len(valid), valid)
	}
}
