package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"lmkit.internal/kernels/kernelstest"
)

// address is what JupyterLab shows: with a token.
var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+/lab\?token=[0-9a-f]+`)

// The command brings up a JupyterLab that knows the kernels, lets nobody in without its token, and ends in order.
func TestNotebook(t *testing.T) {
	kernelstest.Setup(t)
	cmd := exec.Command(os.Args[0], "notebook", "--no-browser", t.TempDir())
	cmd.Args[0] = "lmkit" // see TestMain
	path, err := exec.LookPath("lmkit")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = path
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = cmd.Process.Signal(os.Interrupt) }
	defer end()
	defer time.AfterFunc(time.Hour, end).Stop()
	var all strings.Builder
	url := ""
	lines := bufio.NewScanner(said)
	for url == "" && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		url = address.FindString(lines.Text())
	}
	if url == "" {
		_ = cmd.Wait()
		t.Fatalf("no address is shown:\n%s", all.String())
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	site, token, _ := strings.Cut(url, "/lab?token=")
	if status, page := get(t, site+"/api/kernelspecs?token="+token); status != http.StatusOK ||
		!strings.Contains(page, "Go + lmkit (pure Go)") {
		t.Errorf("kernels: %d %s", status, page)
	}
	if status, _ := get(t, site+"/api/kernelspecs"); status != http.StatusForbidden {
		t.Errorf("without a token: %d", status)
	}
	end()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted && code != 0 {
		t.Errorf("exit code %d after an interrupt", code)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	for err != nil && ctx.Err() == nil { // the address is shown a moment before it answers
		time.Sleep(50 * time.Millisecond)
		answer, err = http.DefaultClient.Do(request)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(page)
}
