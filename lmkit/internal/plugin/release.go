package plugin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"lmkit.internal/lmkit/internal/fetch"
	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/progress"
)

// The release of CPU plugins that go-xla's own installer takes. That installer writes to standard output, cannot be
// cancelled and checks nothing, so the release is fetched here, by the checksum that it is published with.
const (
	releaseVersion = "v0.114.0"              // go-xla's DefaultCPUVersion
	ReleaseName    = "cpu-" + releaseVersion // in the store
	releaseLimit   = 1 << 30                 // bytes; a plugin has 200 MB
)

// ReleaseAddress describes the release. Tests change it.
var ReleaseAddress = "https://api.github.com/repos/gomlx/pjrt-cpu-binaries/releases/tags/" + releaseVersion

// client gives up soon on a host that does not answer, and is patient with one that sends.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 15 * time.Second,
	ForceAttemptHTTP2:     true,
}}

// fromRelease installs the plugin of go-xla's release for this system.
func fromRelease(ctx context.Context, o Options, s store.Store) (string, error) {
	o.Progress.Begin("looking for go-xla's release of the XLA plugin")
	name := fmt.Sprintf("pjrt_cpu_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	asset, err := findAsset(ctx, name)
	if err != nil {
		return "", fmt.Errorf("go-xla's release %s: %w", releaseVersion, err)
	}
	folder := filepath.Join(s.Folder, "download")
	file := filepath.Join(folder, releaseVersion+"-"+name)
	err = fetch.File(ctx, fetch.Request{URL: asset.URL, SHA256: asset.SHA256, Dest: file, Client: client,
		Progress: o.Progress, What: "downloading the XLA plugin"})
	if err != nil {
		return "", err
	}
	installed, err := unpackRelease(ctx, o, s, file)
	if err == nil {
		os.RemoveAll(folder)
	}
	return installed, err
}

type asset struct{ URL, SHA256 string }

// findAsset asks the release for a file's address and checksum.
func findAsset(ctx context.Context, name string) (asset, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ReleaseAddress, nil)
	if err != nil {
		return asset{}, err
	}
	resp, err := client.Do(req)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return asset{}, fmt.Errorf("not reachable: %w", wrapped.Err)
	}
	if err != nil {
		return asset{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return asset{}, fmt.Errorf("the server answered %s", resp.Status)
	}
	var release struct {
		Assets []struct {
			Name   string `json:"name"`
			URL    string `json:"browser_download_url"`
			Digest string `json:"digest"` // "sha256:..."
		} `json:"assets"`
	}
	if err := strict.Plain(json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&release)); err != nil {
		return asset{}, fmt.Errorf("the server's answer is not understood: %w", err)
	}
	for _, a := range release.Assets {
		if a.Name != name {
			continue
		}
		sum, ok := strings.CutPrefix(a.Digest, "sha256:")
		if !ok || len(sum) != 64 {
			return asset{}, fmt.Errorf("it has no checksum for %s: install it yourself with go-xla's pjrt_installer", name)
		}
		return asset{URL: a.URL, SHA256: sum}, nil
	}
	return asset{}, fmt.Errorf("it has no file %s", name)
}

// unpackRelease installs the one library in the release's archive.
func unpackRelease(ctx context.Context, o Options, s store.Store, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	archive := tar.NewReader(unzipped)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s holds no CPU plugin", file)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		if entry.Typeflag != tar.TypeReg || Kind(entry.Name) != CPU {
			continue
		}
		m := store.Manifest{File: FileName(), Size: releaseLimit, Source: filepath.Base(file)}
		return s.Put(ctx, ReleaseName, archive, m, false, func(done int64) {
			o.Progress.At("unpacking the XLA plugin", done, entry.Size, progress.Bytes)
		})
	}
}
