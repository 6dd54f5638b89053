package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"lmkit.internal/lmkit/progress"
)

// transfer fills the part, over as many connections as it takes. It reports whether bytes of an earlier call were kept.
func (d *download) transfer(ctx context.Context) (resumed bool, err error) {
	f, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer f.Close()
	t := &transfer{download: d, file: f}
	if t.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return false, err
	}
	// Nothing would notice a mixture of two versions.
	if t.size > 0 && d.version() == "" && d.SHA256 == "" && d.Blob == "" {
		if err := t.restart(); err != nil {
			return false, err
		}
	}
	for failed := 0; ; {
		before := t.size
		err := t.attempt(ctx)
		if err == nil {
			return t.resumed, f.Sync()
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if errors.As(err, new(*finalError)) {
			return false, err
		}
		if failed++; t.size > before {
			failed = 1
		}
		if failed == tries {
			return false, fmt.Errorf("%w (gave up after %d tries; %d bytes are kept: run again to continue)", err, tries, t.size)
		}
		if err := sleep(ctx, pause<<(failed-1)); err != nil {
			return false, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// finalError is one that trying again does not cure.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// StatusError is the answer of a server that does not send the file.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.Code, http.StatusText(e.Code))
	if e.Code == http.StatusNotFound {
		text += ": check the address"
	}
	return text
}

// transfer is the state of the part while it fills.
type transfer struct {
	*download
	file    *os.File
	size    int64 // bytes in file, all of them good
	resumed bool
}

func (t *transfer) restart() error {
	t.size, t.resumed = 0, false
	if err := t.file.Truncate(0); err != nil {
		return &finalError{err}
	}
	return nil
}

// attempt asks for the rest of the file, over one connection.
func (t *transfer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("the server sent nothing for %v", stall)) })
	defer watchdog.Stop()

	resp, err := t.ask(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
		if err := t.saveVersion(resp.Header); err != nil {
			return &finalError{err}
		}
	case http.StatusPartialContent:
		if start, _, ok := contentRange(resp.Header); !ok || start != t.size {
			return errors.Join(errors.New("the server sent another part of the file than asked for"), t.restart())
		}
		t.resumed = true
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, ok := contentRange(resp.Header); ok && total == t.size {
			t.resumed = true
			return nil
		}
		return errors.Join(errors.New("the server has a shorter file than before"), t.restart())
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &StatusError{resp.StatusCode}
	default:
		return &finalError{&StatusError{resp.StatusCode}}
	}
	return cause(ctx, t.receive(resp, watchdog))
}

// ask sends the request, for the whole file or for what follows the part.
func (t *transfer) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return nil, &finalError{err}
	}
	maps.Copy(req.Header, t.Header)
	req.Header.Set("Accept-Encoding", "identity") // so that offsets count the bytes of the file
	if t.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.size))
		if version := t.version(); version != "" {
			req.Header.Set("If-Range", version)
		}
	}
	resp, err := t.Client.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // File names the address already
		err = wrapped.Err
	}
	return resp, err
}

// cause prefers the reason for which ctx was cancelled to the broken read that came of it.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// receive appends the body to the part.
func (t *transfer) receive(resp *http.Response, watchdog *time.Timer) error {
	total := int64(0) // not known
	if resp.ContentLength >= 0 {
		total = t.size + resp.ContentLength
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		if t.Size != 0 && t.size+int64(n) > t.Size {
			return &finalError{errors.Join(fmt.Errorf("the server sends more than the %d bytes that the file has", t.Size),
				t.restart())}
		}
		if n > 0 {
			watchdog.Reset(stall)
			if _, err := t.file.WriteAt(buf[:n], t.size); err != nil {
				return &finalError{err}
			}
			t.size += int64(n)
			t.Progress.At(t.What, t.size, total, progress.Bytes)
		}
		switch err {
		case nil:
		case io.EOF:
			if t.size < t.Size {
				return fmt.Errorf("the server ended after %d of %d bytes", t.size, t.Size)
			}
			return nil
		default:
			return fmt.Errorf("connection cut after %d bytes: %w", t.size, err)
		}
	}
}

// contentRange reads "bytes 5-9/10" (start 5, total 10), "bytes 5-9/*" (total -1) and "bytes */10" (start -1).
func contentRange(h http.Header) (start, total int64, ok bool) {
	span, of, ok := strings.Cut(strings.TrimPrefix(h.Get("Content-Range"), "bytes "), "/")
	if !ok {
		return 0, 0, false
	}
	start, total = -1, -1
	var err error
	if first, _, isSpan := strings.Cut(span, "-"); isSpan {
		if start, err = strconv.ParseInt(first, 10, 64); err != nil {
			return 0, 0, false
		}
	}
	if of != "*" {
		if total, err = strconv.ParseInt(of, 10, 64); err != nil {
			return 0, 0, false
		}
	}
	return start, total, true
}

// version is what identifies the version of the file that the part's bytes come from; "" when that is unknown.
func (d *download) version() string {
	text, err := os.ReadFile(d.tag)
	if err != nil {
		return ""
	}
	address, version, _ := strings.Cut(string(text), "\n")
	if address != redacted(d.URL) {
		return ""
	}
	return version
}

func (d *download) saveVersion(h http.Header) error {
	version := h.Get("ETag")
	if version == "" || strings.HasPrefix(version, "W/") { // a weak tag does not promise the same bytes
		version = h.Get("Last-Modified")
	}
	return os.WriteFile(d.tag, []byte(redacted(d.URL)+"\n"+version), 0o644)
}
