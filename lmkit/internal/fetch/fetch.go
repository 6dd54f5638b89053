// Package fetch downloads a file so that it is there whole and verified, or not at all.
package fetch

import (
	"context"
	"crypto/sha1" // as git does
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"lmkit.internal/lmkit/progress"
)

// Request says what to download, and where to.
type Request struct {
	URL    string // http or https
	SHA256 string // of the whole file, in hexadecimal; "" takes what comes
	Blob   string // the file's name as a blob of git's, a SHA-1 in hexadecimal, where that is all that is known; or ""
	Size   int64  // of the whole file, in bytes; 0: not known
	Dest   string // the file to make; its folder is made too

	// Progress hears of the bytes that arrive, never concurrently. Done counts from the start of the file, so that a
	// resumed download does not start at 0.
	Progress progress.Func
	What     string // what Progress is told; "": the last part of the URL's path

	Header http.Header  // sent along, such as a token; not to another host that the server points to
	Client *http.Client // nil: http.DefaultClient
}

// Patience with a server. Variables, so that tests need not wait.
var (
	tries = 4                      // attempts in a row that bring no byte
	pause = 500 * time.Millisecond // before the second of them; doubles each time
	stall = 60 * time.Second       // without a byte before a connection counts as dead
)

// File makes sure that the file is at req.Dest. A file that is already there is kept, unless req.SHA256 says that it is
// another one. Bytes arrive in Dest + ".part", which stays when the download is cut or cancelled, and is continued by
// the next call; it takes the name Dest only when it is complete and verified. Cut connections and busy servers are
// tried again. Calls for the same Dest, in this process or another one, wait for each other.
func File(ctx context.Context, req Request) error {
	d, err := newDownload(req)
	if err == nil {
		err = d.run(ctx)
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", redacted(req.URL), err)
	}
	return nil
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Sprintf("%q", address)
	}
	return u.Redacted()
}

// download is one call of File. Next to the part lies its tag: the address and the version (ETag or date) that the
// part's bytes came from, so that two versions are never glued together.
type download struct {
	Request
	part, tag string
}

func newDownload(req Request) (*download, error) {
	u, err := url.Parse(req.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("not an http or https address")
	}
	if sum, err := hex.DecodeString(req.SHA256); err != nil || (len(sum) != 0 && len(sum) != sha256.Size) {
		return nil, fmt.Errorf("%q is not a SHA-256 checksum: need %d hexadecimal digits", req.SHA256, 2*sha256.Size)
	}
	if sum, err := hex.DecodeString(req.Blob); err != nil || (len(sum) != 0 && len(sum) != sha1.Size) {
		return nil, fmt.Errorf("%q is not the name of a blob of git's: need %d hexadecimal digits", req.Blob, 2*sha1.Size)
	}
	if req.Dest == "" {
		return nil, errors.New("no destination file given")
	}
	if req.Client == nil {
		req.Client = http.DefaultClient
	}
	if req.What == "" {
		req.What = path.Base(u.Path)
	}
	return &download{Request: req, part: req.Dest + ".part", tag: req.Dest + ".part.tag"}, nil
}

func (d *download) run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(d.Dest), 0o755); err != nil {
		return err
	}
	lock := flock.New(d.Dest + ".lock")
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another download of the same file: %w", err)
	}
	defer lock.Unlock()

	if there, err := d.there(); there || err != nil {
		return err
	}
	resumed, err := d.transfer(ctx)
	if err != nil {
		return err
	}
	err = d.verify(d.part)
	if errors.As(err, new(*checksumError)) {
		d.discard()
		if resumed { // the old bytes may be the bad ones
			if _, err = d.transfer(ctx); err != nil {
				return err
			}
			if err = d.verify(d.part); err != nil {
				d.discard()
			}
		}
	}
	if err != nil {
		return err
	}
	if err := os.Rename(d.part, d.Dest); err != nil {
		return err
	}
	return remove(d.tag)
}

// there reports whether the file needs no download.
func (d *download) there() (bool, error) {
	info, err := os.Stat(d.Dest)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is in the way: it is not a file", d.Dest)
	}
	err = d.verify(d.Dest)
	if errors.As(err, new(*checksumError)) {
		return false, nil
	}
	return err == nil, err
}

// discard forgets the bytes so far. What cannot be removed is truncated by the next transfer.
func (d *download) discard() {
	_ = remove(d.part)
	_ = remove(d.tag)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// checksumError says that a file is not the one that was asked for.
type checksumError struct{ sort, got, want string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("wrong checksum: expected %s %s, got %s; the file at this address is damaged or another version: "+
		"try another address, or give the new checksum if you trust it", e.sort, e.want, e.got)
}

// verify fails with a *checksumError when a file has not the size and the checksum that the request names.
func (d *download) verify(path string) error {
	if d.SHA256 == "" && d.Blob == "" && d.Size == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if d.Size != 0 && info.Size() != d.Size {
		return &checksumError{"bytes", fmt.Sprint(info.Size()), fmt.Sprint(d.Size)}
	}
	sort, want, h := "SHA-256", d.SHA256, sha256.New()
	if want == "" {
		sort, want, h = "git's SHA-1", d.Blob, sha1.New()
		fmt.Fprintf(h, "blob %d\x00", info.Size())
	}
	if want == "" {
		return nil
	}
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, want) {
		return &checksumError{sort, got, strings.ToLower(want)}
	}
	return nil
}
