package notebooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"lmkit.internal/kernels/kernelstest"
	"lmkit.internal/lmkit/serve/browsertest"
)

// widgets is a notebook with a figure that a slider changes, and one that tabs change: the heads of an attention
// picture.
const widgets = `{
 "cells": [
  {"cell_type": "code", "id": "slider", "metadata": {}, "execution_count": null, "outputs": [], "source": [
   "import (\n\t\"context\"\n\t\"fmt\"\n\n",
   "\t\"lmkit.internal/lmkit/notebook\"\n\t\"lmkit.internal/lmkit/render\"\n)\n\n",
   "%%\n",
   "notebook.Slider(context.Background(), 5, 1, func(i int) any {\n",
   "\treturn plot.Bars{\n",
   "\t\tTitle: fmt.Sprintf(\"picture %d\", i), Names: []string{\"a\", \"b\"},\n",
   "\t\tSeries: []plot.Series{{Values: []float64{1, float64(i)}}},\n",
   "\t}\n",
   "})"]},
  {"cell_type": "code", "id": "picker", "metadata": {}, "execution_count": null, "outputs": [], "source": [
   "%%\n",
   "words := []string{\"the\", \"cat\"}\n",
   "notebook.Show(plot.Picker{Title: \"Head\", Tabs: []plot.Tab{\n",
   "\t{Name: \"0\", Figure: plot.Matrix{Title: \"itself\", Rows: words, Cols: words,\n",
   "\t\tData: [][]float64{{1, 0}, {0, 1}}}},\n",
   "\t{Name: \"1\", Figure: plot.Matrix{Title: \"the start\", Rows: words, Cols: words,\n",
   "\t\tData: [][]float64{{1, 0}, {1, 0}}}},\n",
   "}})"]}
 ],
 "metadata": {"kernelspec": {"display_name": "Go + lmkit (XLA CPU)", "language": "go", "name": "lmkit-cpu"},
  "language_info": {"name": "go"}},
 "nbformat": 4, "nbformat_minor": 5
}`

// In a real browser: JupyterLab opens a notebook and runs it, somebody moves a slider and its figure changes, a button
// ends the cell, and in the next one a tab shows another figure.
func TestBrowser(t *testing.T) {
	program := browsertest.Program(t)
	j := kernelstest.Setup(t)
	page := lab(t, j)
	ctx := browsertest.Open(t, program)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		browsertest.Do(t, ctx, what, steps...)
	}
	changes := func(what string, figure string, step func()) {
		t.Helper()
		before := browsertest.Look(t, ctx, what+" before.png", chromedp.Screenshot(figure, chromedp.NodeVisible))
		browsertest.Look(t, ctx, what+" before, the page.png", chromedp.CaptureScreenshot())
		step()
		after := browsertest.Look(t, ctx, what+" after.png", chromedp.Screenshot(figure, chromedp.NodeVisible))
		browsertest.Look(t, ctx, what+" after, the page.png", chromedp.CaptureScreenshot())
		if bytes.Equal(before, after) {
			t.Errorf("%s: the figure looks the same before and after", what)
		}
	}
	const (
		run    = `jp-button[data-command="notebook:run-cell-and-select-next"]`
		slider = `.jp-OutputArea input[type="range"]`
		first  = `.jp-CodeCell:nth-of-type(1) .jp-OutputArea`
		second = `.jp-CodeCell:nth-of-type(2) .jp-OutputArea`
	)
	do("open the notebook", chromedp.Navigate(page), chromedp.Click(`.jp-CodeCell .cm-content`),
		browsertest.Until(`document.querySelector("#jp-main-statusbar").textContent.includes("| Idle")`))
	do("run its cells", chromedp.Click(run), chromedp.Click(run))
	do("see the figure and its slider", shows(first, "picture 1"), chromedp.WaitVisible(slider))
	changes("slider", first+" figure", func() {
		do("move the slider", chromedp.Focus(slider), chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight),
			shows(first, "picture 3"))
	})
	do("end the cell", chromedp.Click(first+" button"), chromedp.WaitNotPresent(slider), shows(first, "picture 3"))
	do("see the picker", shows(second, "itself"))
	changes("picker", second+" form", func() {
		do("choose a head", chromedp.Click(second+" label:nth-of-type(2) span"), shows(second, "the start"))
	})
	do("go back by the keyboard", chromedp.KeyEvent(kb.ArrowLeft), shows(second, "itself"))
}

// shows waits until a part of the page shows a text to the reader.
func shows(part, text string) chromedp.Action[chromedp.Void] {
	return browsertest.Until(
		fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.checkVisibility() && e.textContent.includes(%q))`,
			part+" text", text))
}

// lab starts JupyterLab with the notebook in a folder of its own, and returns the page's address.
func lab(t *testing.T, j kernelstest.Jupyter) string {
	t.Helper()
	const name, news = "widgets.ipynb", "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
	folder, runtime, settings := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(folder, name), widgets)
	write(t, filepath.Join(settings, news), `{"fetchNews": "false", "checkForUpdates": false}`) // no question at the start
	cmd := j.Python(t.Context(), "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1",
		fmt.Sprintf("--port=%d", freePort(t)), "--allow-root", folder)
	cmd.Env = append(cmd.Env, "JUPYTER_RUNTIME_DIR="+runtime, "JUPYTER_CONFIG_DIR="+t.TempDir(),
		"JUPYTER_DATA_DIR="+t.TempDir(), "JUPYTERLAB_SETTINGS_DIR="+settings, "JUPYTERLAB_WORKSPACES_DIR="+t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // ends its kernels, too
	cmd.WaitDelay = 20 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { // the test's context has ended by now
		<-ended
		if t.Failed() {
			t.Logf("JupyterLab:\n%s", log.String())
		}
	})
	for limit := time.Now().Add(hanging); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatal("JupyterLab ended as it started")
		default:
		}
		files, _ := filepath.Glob(filepath.Join(runtime, "jpserver-*.json"))
		if len(files) == 0 {
			continue
		}
		var server struct{ URL, Token string }
		if data, err := os.ReadFile(files[0]); err == nil && json.Unmarshal(data, &server) == nil && server.URL != "" {
			return strings.TrimSuffix(server.URL, "/") + "/lab/tree/" + name + "?token=" + server.Token
		}
	}
	t.Fatal("JupyterLab does not start")
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
