package notebooks_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/png"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a notebook must keep to.
const (
	maxOutputs = 30      // of a cell
	maxBytes   = 2 << 20 // of a notebook: code hosts are slow to show larger ones, or do not
	minExpects = 3       // cells that say which numbers they must show
)

// notebook is what we look at in the file of a notebook.
type notebook struct {
	Cells    []cell
	Metadata struct {
		Kernelspec struct{ Name string }
		Lmkit      struct{ Code string }
	}
	Format int `json:"nbformat"`
	Minor  int `json:"nbformat_minor"`
}

type cell struct {
	Type     string `json:"cell_type"`
	Count    *int   `json:"execution_count"`
	Metadata struct {
		Tags  []string
		Lmkit struct{ Expect []string }
	}
	Source  text
	Outputs []output
}

type output struct {
	Type string `json:"output_type"`
	Text text
	Data map[string]json.RawMessage
}

// text is a string that may be cut into lines.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

var (
	remote = regexp.MustCompile(
		`(?i)(\b(src|href|srcset|poster|data|action)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?|!\[[^\]]*\]\()\s*(https?:)?//`)
	script = regexp.MustCompile(`(?i)<script|<iframe|\bon(load|click|error)\s*=`)
	place  = regexp.MustCompile(`(^|[\s"'(=:,])(/(root|work|home|Users|tmp|var|private|opt)/|[A-Z]:\\)`)
)

// check is everything that is wrong with a notebook.
func check(data []byte) (mistakes []string) {
	var n notebook
	if err := json.Unmarshal(data, &n); err != nil {
		return []string{err.Error()}
	}
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Sprintf(format, args...)) }
	if n.Format != 4 || n.Minor != 5 {
		wrong("nbformat %d.%d: want 4.5", n.Format, n.Minor)
	}
	if k := n.Metadata.Kernelspec.Name; k != "lmkit-cpu" {
		wrong("kernel %q: want lmkit-cpu", k)
	}
	if len(data) > maxBytes {
		wrong("%d bytes: at most %d", len(data), maxBytes)
	}
	var code, prose []string
	expects := 0
	for i, c := range n.Cells {
		if c.Type != "code" {
			prose = append(prose, string(c.Source))
			continue
		}
		code = append(code, string(c.Source))
		if len(c.Metadata.Lmkit.Expect) > 0 {
			expects++
		}
		for _, m := range c.check() {
			wrong("cell %d (%.40q): %s", i, c.Source, m)
		}
	}
	if expects < minExpects {
		wrong("%d cells say what they must show (metadata.lmkit.expect): at least %d", expects, minExpects)
	}
	sum := sha256.Sum256([]byte(strings.Join(code, "\n\x00\n")))
	if hex.EncodeToString(sum[:]) != n.Metadata.Lmkit.Code {
		wrong("the outputs belong to other code: execute the notebook with `go test ./notebooks -run " +
			"TestExecute/NAME -update`")
	}
	return append(mistakes, checkProse(strings.Join(prose, "\n"))...)
}

// checkProse is what is wrong with a notebook's text: it has exercises whose answers are folded away, and ends with
// what can go wrong.
func checkProse(all string) (mistakes []string) {
	opened, closed := strings.Count(all, "<details>"), strings.Count(all, "</details>")
	if opened != closed || opened < 2 || opened > 4 {
		mistakes = append(mistakes, fmt.Sprintf("%d answers begin and %d end (<details>): want 2 to 4 exercises", opened,
			closed))
	}
	last := ""
	for line := range strings.Lines(all) {
		if strings.HasPrefix(line, "#") {
			last = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if last != "What can go wrong" {
		mistakes = append(mistakes, fmt.Sprintf("the last section is %q: want \"What can go wrong\"", last))
	}
	if m := remote.FindString(all); m != "" {
		mistakes = append(mistakes, fmt.Sprintf("the text loads something remote: %q", m))
	}
	return mistakes
}

// check is what is wrong with a code cell.
func (c cell) check() (mistakes []string) {
	wrong := func(format string, args ...any) { mistakes = append(mistakes, fmt.Sprintf(format, args...)) }
	if c.Count == nil {
		wrong("it was not executed")
	}
	if len(c.Outputs) > maxOutputs {
		wrong("%d outputs: at most %d", len(c.Outputs), maxOutputs)
	}
	var shown strings.Builder
	pictures := 0
	for _, o := range c.Outputs {
		if o.Type == "error" {
			wrong("it failed")
		}
		shown.WriteString(string(o.Text))
		if o.Data["image/png"] != nil && o.Data["text/html"] != nil {
			wrong("HTML stands beside a picture, and would hide it where the notebook is not trusted")
		}
		for kind, raw := range o.Data {
			var content text
			if err := json.Unmarshal(raw, &content); err != nil {
				wrong("%s: %v", kind, err)
			}
			switch kind {
			case "image/png":
				pictures++
				if _, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(string(content)))); err != nil {
					wrong("a picture is damaged: %v", err)
				}
				continue
			case "text/plain":
				shown.WriteString(string(content))
			}
			mistakes = append(mistakes, checkContent(kind, string(content))...)
		}
		mistakes = append(mistakes, checkContent("a stream", string(o.Text))...)
	}
	if tagged := slices.Contains(c.Metadata.Tags, "figure"); tagged != (pictures > 0) {
		wrong("%d outputs have image/png, and its tag \"figure\" is %v", pictures, tagged)
	}
	for _, want := range c.Metadata.Lmkit.Expect {
		if re, err := regexp.Compile(want); err != nil {
			wrong("%v", err)
		} else if !re.MatchString(shown.String()) {
			wrong("it does not show %q, but %q", want, shown.String())
		}
	}
	return mistakes
}

// checkContent is what must not be in an output: a resource from elsewhere, a script, a path of the machine.
func checkContent(kind, content string) (mistakes []string) {
	for re, what := range map[*regexp.Regexp]string{remote: "loads something remote", script: "runs a script",
		place: "tells a path of the machine"} {
		if m := re.FindString(content); m != "" {
			mistakes = append(mistakes, fmt.Sprintf("%s %s: %q", kind, what, m))
		}
	}
	if kind == "application/javascript" {
		mistakes = append(mistakes, "an output is a script")
	}
	return mistakes
}

// What is wrong with a notebook is found.
func TestCheck(t *testing.T) {
	const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
	figure := map[string]any{"output_type": "display_data", "data": map[string]any{"image/png": dot,
		"text/plain": []string{"area\n", "42"}}}
	sound := func() map[string]any {
		one := func() map[string]any {
			return map[string]any{
				"cell_type": "code", "execution_count": 1, "source": []string{"%%\n", "draw()"}, "outputs": []any{figure},
				"metadata": map[string]any{"tags": []string{"figure"}, "lmkit": map[string]any{"expect": []string{`^area\s4\d$`}}},
			}
		}
		prose := "## Exercises\n<details>1</details><details>2</details>\n## What can go wrong\nNothing."
		sum := sha256.Sum256([]byte(strings.Repeat("%%\ndraw()\n\x00\n", 2) + "%%\ndraw()"))
		return map[string]any{
			"cells": []any{one(), one(), one(), map[string]any{"cell_type": "markdown", "source": prose}},
			"metadata": map[string]any{"kernelspec": map[string]any{"name": "lmkit-cpu"},
				"lmkit": map[string]any{"code": hex.EncodeToString(sum[:])}},
			"nbformat": 4, "nbformat_minor": 5,
		}
	}
	show := func(kind, content string) func(n, c map[string]any) {
		return func(n, c map[string]any) {
			c["outputs"] = []any{figure, map[string]any{"output_type": "display_data", "data": map[string]any{kind: content}}}
		}
	}
	print := func(content string) func(n, c map[string]any) {
		return func(n, c map[string]any) {
			c["outputs"] = []any{figure, map[string]any{"output_type": "stream", "name": "stdout", "text": content}}
		}
	}
	for _, test := range []struct {
		name, want string
		change     func(n, c map[string]any)
	}{
		{"sound", "", func(n, c map[string]any) {}},
		{"link", "", show("text/markdown", "[a paper](https://example.com)")},
		{"own place", "", show("text/html", `<a href="#x"><svg xmlns="http://www.w3.org/2000/svg"></svg></a>`)},
		{"format", "nbformat 4.4", func(n, c map[string]any) { n["nbformat_minor"] = 4 }},
		{"kernel", `kernel "gonb"`, func(n, c map[string]any) {
			n["metadata"].(map[string]any)["kernelspec"] = map[string]any{"name": "gonb"}
		}},
		{"code", "other code", func(n, c map[string]any) { c["source"] = "%%\nchanged()" }},
		{"not executed", "not executed", func(n, c map[string]any) { c["execution_count"] = nil }},
		{"error", "it failed", func(n, c map[string]any) {
			c["outputs"] = []any{figure,
				map[string]any{"output_type": "error"}}
		}},
		{"too many outputs", "31 outputs", func(n, c map[string]any) { c["outputs"] = slices.Repeat([]any{figure}, 31) }},
		{"no picture", "0 outputs have image/png", func(n, c map[string]any) {
			c["outputs"] = []any{map[string]any{"output_type": "stream", "text": "area 42"}}
		}},
		{"no tag", `"figure" is false`, func(n, c map[string]any) { delete(c["metadata"].(map[string]any), "tags") }},
		{"hidden picture", "would hide it", func(n, c map[string]any) {
			c["outputs"] = []any{map[string]any{"output_type": "display_data", "data": map[string]any{"image/png": dot,
				"text/html": "<b>42</b>", "text/plain": "area 42"}}}
		}},
		{"damaged picture", "damaged", show("image/png", dot[:40])},
		{"other number", "does not show", func(n, c map[string]any) {
			c["metadata"].(map[string]any)["lmkit"] = map[string]any{"expect": []string{`area 7`}}
		}},
		{"few expectations", "2 cells say", func(n, c map[string]any) { delete(c["metadata"].(map[string]any), "lmkit") }},
		{"remote picture", "remote", show("text/html", `<img src="https://example.com/a.png">`)},
		{"remote style", "remote", show("text/html", `<style>a { background: url(//example.com/a.png) }</style>`)},
		{"remote in markdown", "remote", show("text/markdown", "![a](https://example.com/a.png)")},
		{"script", "runs a script", show("text/html", `<script>1</script>`)},
		{"javascript", "is a script", show("application/javascript", `1`)},
		{"path", "path of the machine", print("saved in /home/me/model")},
		{"no answer", "1 answers begin", func(n, c map[string]any) {
			n["cells"].([]any)[3].(map[string]any)["source"] = "<details></details>\n## What can go wrong"
		}},
		{"end", `last section is "Exercises"`, func(n, c map[string]any) {
			n["cells"].([]any)[3].(map[string]any)["source"] = "<details></details><details></details>\n## What can go " +
				"wrong\n## Exercises"
		}},
		{"not JSON", "invalid character", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := []byte("{]")
			if test.change != nil {
				n := sound()
				test.change(n, n["cells"].([]any)[1].(map[string]any))
				var err error
				if data, err = json.Marshal(n); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.Join(check(data), "\n")
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
