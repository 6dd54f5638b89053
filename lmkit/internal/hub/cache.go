package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/whole"
)

// repo is a model on a Hugging Face hub, at one revision. With a file, only that file of it is meant.
type repo struct{ owner, name, file, revision string }

func (r repo) id() string { return r.owner + "/" + r.name }

var (
	validPart     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	validRevision = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	validCommit   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// check refuses names that could lead out of the cache, or to another address.
func (r repo) check() error {
	switch {
	case !validPart.MatchString(r.owner) || !validPart.MatchString(r.name):
		return errors.New("the name must be hf:OWNER/NAME, of letters, digits, dots, dashes and underscores")
	case !validRevision.MatchString(r.revision) || strings.Contains(r.revision, ".."):
		return fmt.Errorf("%.100q is no revision", r.revision)
	case r.file != "" && (!validPart.MatchString(r.file) || !strings.HasSuffix(r.file, ".gguf")):
		return fmt.Errorf("%.100q is no GGUF file: a single file of a model is one that ends in .gguf", r.file)
	}
	return nil
}

// cacheRoot is where the Hugging Face tools keep models. It is read, and written in their layout:
//
//	models--OWNER--NAME/refs/REVISION           the commit that a branch or tag is
//	models--OWNER--NAME/blobs/CHECKSUM          the files
//	models--OWNER--NAME/snapshots/COMMIT/FILE   links to them, under their names
func cacheRoot() (string, error) {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub"), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub"), nil
	}
	home, err := os.UserHomeDir()
	if err == nil {
		_, err = os.Stat(home) // a home folder that does not exist is not made
	}
	if err != nil {
		return "", fmt.Errorf("there is no folder for models (%w): set HF_HOME or HOME", err)
	}
	return filepath.Join(home, ".cache", "huggingface", "hub"), nil
}

// folder is the model's folder in the cache.
func (r repo) folder() (string, error) {
	root, err := cacheRoot()
	return filepath.Join(root, "models--"+r.owner+"--"+r.name), err
}

// cached returns the model's snapshot, or its file in it, if all of it is at hand; else "".
func (r repo) cached(folder string) string {
	commit := r.revision
	if !validCommit.MatchString(commit) {
		text, err := os.ReadFile(filepath.Join(folder, "refs", filepath.FromSlash(r.revision)))
		if commit = strings.TrimSpace(string(text)); err != nil || !validCommit.MatchString(commit) {
			return ""
		}
	}
	return r.complete(filepath.Join(folder, "snapshots", commit))
}

// complete returns a snapshot, or the file that is meant in it, if it is whole; else "".
func (r repo) complete(snapshot string) string {
	if r.file != "" {
		file := filepath.Join(snapshot, r.file)
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return ""
		}
		return file
	}
	if _, err := os.Stat(filepath.Join(snapshot, "config.json")); err != nil {
		return ""
	}
	f, err := safetensors.Open(snapshot) // the headers say which files there are, and of what size
	if err != nil {
		return ""
	}
	_ = f.Close()
	return snapshot
}

// place puts a blob under its name into a snapshot. Where the system has no links for it, the file itself goes there.
func place(folder, blob, commit, name string) error {
	dir := filepath.Join(folder, "snapshots", commit)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	if info, err := os.Lstat(file); err == nil {
		if to, err := os.Readlink(file); err == nil && filepath.Base(to) == blob || err != nil && info.Mode().IsRegular() {
			return nil
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	err := os.Symlink(filepath.Join("..", "..", "blobs", blob), file)
	if err == nil || errors.Is(err, os.ErrExist) { // another process was faster
		return nil
	}
	return os.Rename(filepath.Join(folder, "blobs", blob), file)
}

// refer notes which commit a branch or tag is.
func (r repo) refer(folder, commit string) error {
	if r.revision == commit {
		return nil
	}
	file := filepath.Join(folder, "refs", filepath.FromSlash(r.revision))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return whole.Write(file, []byte(commit))
}
