package corpus

import (
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Files reads text files, and of each folder the .txt and .md files in it and in its folders, sorted by path. A
// byte-order mark at the start of a file is dropped; apart from that the text is the file's, byte for byte. An empty
// file is an error, but is passed over in a folder that has others. Binary files and text that is not UTF-8 are
// errors.
func Files(paths ...string) ([]Document, error) {
	files, err := list(paths)
	if err != nil {
		return nil, err
	}
	docs := make([]Document, len(files))
	for i, path := range files {
		if docs[i], err = readFile(path); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// list is the files themselves, and those in folders.
func list(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("read corpus: no file or folder given")
	}
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read corpus: %s: %w", path, plain(err))
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := listFolder(path)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// plain drops the path and the system call from an error of the os package: the message around it names the path.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func listFolder(folder string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read corpus: %s: %w", path, plain(err))
		}
		ext := strings.ToLower(filepath.Ext(path))
		if (ext == ".txt" || ext == ".md") && !e.IsDir() {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				return nil // a link to a folder
			} else if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
				return nil
			}
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("read corpus: folder %s has no .txt or .md file with text in it", folder)
	}
	slices.Sort(paths)
	return paths, nil
}

func readFile(path string) (Document, error) {
	fail := func(err error) (Document, error) {
		return Document{}, fmt.Errorf("read corpus: %s: %w", path, plain(err))
	}
	info, err := os.Stat(path)
	if err != nil {
		return fail(err)
	}
	if !info.Mode().IsRegular() { // a device may never end
		return fail(errors.New("is not a file or folder"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	if err := checkText(string(text)); err != nil {
		return Document{}, fmt.Errorf("read corpus: %s %w", path, err)
	}
	return Document{Name: path, Text: strings.TrimPrefix(string(text), "\ufeff")}, nil
}

// opticks lists where Go's source tree keeps, or kept, the book.
var opticks = []string{
	"src/testdata/Isaac.Newton-Opticks.txt",
	"src/compress/testdata/Isaac.Newton-Opticks.txt",
	"src/compress/bzip2/testdata/Isaac.Newton-Opticks.txt.bz2",
}

// Opticks returns Isaac Newton's "Opticks" (1704, the Project Gutenberg edition), which is among the test data of
// every Go installation: about 560 kB of English prose, a twentieth of it held out for validation and a twentieth for
// testing.
func Opticks() (*Corpus, error) {
	root, err := goroot()
	if err != nil {
		return nil, fmt.Errorf("read Opticks: find the Go installation: %w: install Go or set GOROOT", err)
	}
	return opticksIn(root)
}

func opticksIn(root string) (*Corpus, error) {
	for _, name := range opticks {
		f, err := os.Open(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			continue
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(name, ".bz2") {
			r = bzip2.NewReader(f)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("read Opticks: %w", err)
		}
		if err := checkText(string(text)); err != nil {
			return nil, fmt.Errorf("read Opticks: %s %w", f.Name(), err)
		}
		return Cut("opticks", []Document{{"Opticks", string(text)}}, Split{Valid: 0.05, Test: 0.05})
	}
	return nil, fmt.Errorf("read Opticks: the Go installation at %s has no %s: install Go with its test data, or train "+
		"on a file of yours", root, opticks[0])
}

func goroot() (string, error) {
	if root := os.Getenv("GOROOT"); root != "" {
		return root, nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
}
