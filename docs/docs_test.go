package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func ExamplePages() {
	pages, err := Pages()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pages[0].Title)
	fmt.Println(pages[1].Title)
	// Output:
	// lmkit: the manual
	// Start
}

// Every page of the folder stands in the table of contents, once.
func TestPagesAreAll(t *testing.T) {
	pages, err := Pages()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, p := range pages {
		listed = append(listed, p.Name+".md")
	}
	all, err := fs.Glob(files, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, all) {
		t.Errorf("README.md lists %v, and the folder has %v", listed, all)
	}
}

var update = flag.Bool("update", false, "write the links between the pages anew")

// neighbours is the line at the end of a page that leads to those before and after it.
var neighbours = regexp.MustCompile(`\n*\n(Previous: |Next: )[^\n]*\n$`)

// Every page ends with links to the one before it and the one after it.
func TestNeighbours(t *testing.T) {
	pages, err := Pages()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pages {
		var links []string
		if i > 0 {
			links = append(links, fmt.Sprintf("Previous: [%s](%s.md)", pages[i-1].Title, pages[i-1].Name))
		}
		if i+1 < len(pages) {
			links = append(links, fmt.Sprintf("Next: [%s](%s.md)", pages[i+1].Title, pages[i+1].Name))
		}
		text, err := files.ReadFile(p.Name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		body := strings.TrimRight(neighbours.ReplaceAllString(string(text), ""), "\n")
		want := body + "\n\n" + strings.Join(links, " · ") + "\n"
		switch {
		case string(text) == want:
		case *update:
			if err := os.WriteFile(p.Name+".md", []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s.md does not end with %q: go test ./docs -update writes it", p.Name, strings.Join(links, " · "))
		}
	}
}

// What is written is whole without a network: every link and picture leads to something that is there, and nothing
// runs.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if _, err := Write(dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	text := map[string]string{}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text[filepath.Base(page)] = string(data)
	}
	to := regexp.MustCompile(`(href|src)="([^"]*)"`)
	for name, page := range text {
		for _, m := range to.FindAllStringSubmatch(page, -1) {
			if strings.HasPrefix(m[2], "https://") && m[1] == "href" {
				continue
			}
			file, fragment, _ := strings.Cut(m[2], "#")
			if file == "" {
				file = name
			}
			if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s leads to %q, which is not there", name, m[2])
			} else if fragment != "" && !strings.Contains(text[file], `id="`+fragment+`"`) {
				t.Errorf("%s leads to %q, and %s has no such heading", name, m[2], file)
			}
		}
		if strings.Contains(page, "<script") {
			t.Errorf("%s runs a script", name)
		}
	}
}
