// Package docs is lmkit's manual: the pages of this folder in their order, as HTML that needs no network.
package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

//go:embed *.md pictures
var files embed.FS

//go:embed page.html
var layout string

// Page is a page of the manual.
type Page struct {
	Name  string // of its file, without .md
	Title string
}

var (
	link  = regexp.MustCompile(`\]\(([a-z-]+)\.md\)`)
	title = regexp.MustCompile(`(?m)^# (.+)$`)
	local = regexp.MustCompile(`^([A-Za-z-]+)\.md(#.*)?$`)
)

// Pages returns the pages in the order in which they are read: the table of contents, and what it links.
func Pages() (all []Page, err error) {
	contents, err := files.ReadFile("README.md")
	if err != nil {
		return nil, err
	}
	names := []string{"README"}
	for _, m := range link.FindAllSubmatch(contents, -1) {
		if name := string(m[1]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		source, err := files.ReadFile(name + ".md")
		if err != nil {
			return nil, fmt.Errorf("the table of contents names a page that is not there: %w", err)
		}
		p := Page{Name: name, Title: name}
		if m := title.FindSubmatch(source); m != nil {
			p.Title = string(m[1])
		}
		all = append(all, p)
	}
	return all, nil
}

// Write writes the manual into a folder, a file a page and the pictures, and returns the path of its first page. Links
// between pages work from the folder; those to other files of the source become plain words.
func Write(dir string) (first string, err error) {
	pages, err := Pages()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "pictures"), 0o755); err != nil {
		return "", err
	}
	pictures, err := fs.Glob(files, "pictures/*")
	if err != nil {
		return "", err
	}
	for _, name := range pictures {
		data, err := files.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	frame, err := template.New("page").Parse(layout)
	if err != nil {
		return "", err
	}
	for _, p := range pages {
		body, err := p.html()
		if err != nil {
			return "", err
		}
		var page bytes.Buffer
		if err := frame.Execute(&page, map[string]any{"Page": p, "Pages": pages, "Body": template.HTML(body)}); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, p.Name+".html"), page.Bytes(), 0o644); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, pages[0].Name+".html"), nil
}

// html returns the text of a page as HTML.
func (p Page) html() (string, error) {
	source, err := files.ReadFile(p.Name + ".md")
	if err != nil {
		return "", err
	}
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	tree := md.Parser().Parse(text.NewReader(source))
	var elsewhere []*ast.Link
	err = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if l, ok := n.(*ast.Link); ok && entering {
			switch to := string(l.Destination); {
			case local.MatchString(to):
				l.Destination = []byte(local.ReplaceAllString(to, "$1.html$2"))
			case !strings.HasPrefix(to, "#") && !strings.Contains(to, "://"):
				elsewhere = append(elsewhere, l)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, l := range elsewhere { // their words stay
		for c := l.FirstChild(); c != nil; c = l.FirstChild() {
			l.Parent().InsertBefore(l.Parent(), l, c)
		}
		l.Parent().RemoveChild(l.Parent(), l)
	}
	var out strings.Builder
	if err == nil {
		err = md.Renderer().Render(&out, source, tree)
	}
	return out.String(), err
}
