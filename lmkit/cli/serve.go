package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/serve"
)

type serveFlags struct {
	serve.Limits
	address, token string
	port           int
	hosts          []string
	dictionaries   []string
	noBrowser      bool
	log, logTexts  bool
}

func (a *app) serveCmd() *cobra.Command {
	var o serveFlags
	cmd := &cobra.Command{
		Use:   "serve MODEL...",
		Short: "Ask models, and ask why they answer as they do, in the browser and by a JSON API",
		Long: `Open a page on this machine where one asks a model, points at a token of its answer, and sees why; and a
JSON API with the same (its description is at /openapi.json, its numbers for Prometheus at /metrics). Models stay
loaded.

Without --address nobody but this machine can ask. Elsewhere every request must bring a token: that of --token, or
of the variable LMKIT_TOKEN, or one that is made up and shown once. Ctrl-C lets what runs end.`,
		Example: `  lmkit serve smollm2
  lmkit serve runs/first smollm2 --port 9000 --no-browser
  curl -s localhost:8017/v1/score --json '{"texts": [{"text": "The capital of France is Paris."}]}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.serve(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.port, "port", 8017, "where to listen; 0: any port that is free")
	f.StringVar(&o.address, "address", "127.0.0.1", "the address of this machine to listen at")
	f.StringVar(&o.token, "token", "", "what every request must bring (better: the variable LMKIT_TOKEN)")
	f.StringArrayVar(&o.hosts, "host", nil, "a name that this server may be called by; may be given several times")
	f.StringArrayVar(&o.dictionaries, "dictionary", nil, "a sparse autoencoder that may be asked about, a `FILE` or "+
		"folder; may be given several times")
	f.BoolVar(&o.noBrowser, "no-browser", false, "do not open the page")
	f.IntVar(&o.Running, "running", 0, "requests to work on at a time (default 2)")
	f.IntVar(&o.Waiting, "waiting", 0, "requests that may wait for that (default 64)")
	f.DurationVar(&o.Time, "time", 0, "what one request may take (default 10m)")
	f.IntVar(&o.Tokens, "most-tokens", 0, "what one request may generate (default 1024)")
	f.BoolVar(&o.log, "log", false, "write a line of JSON for each request to stderr")
	f.BoolVar(&o.logTexts, "log-texts", false, "with the texts that are asked about, which are left out otherwise")
	return cmd
}

// grace is how long what runs may take after the first Ctrl-C.
const grace = 30 * time.Second

func (a *app) serve(ctx context.Context, names []string, o serveFlags) error {
	if o.token == "" {
		o.token = os.Getenv("LMKIT_TOKEN")
	}
	ip := net.ParseIP(o.address)
	alone := o.address == "localhost" || ip != nil && ip.IsLoopback()
	madeUp := !alone && o.token == ""
	if madeUp {
		o.token = rand.Text()
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.address, fmt.Sprint(o.port)))
	if err != nil {
		return fmt.Errorf("cannot listen at %s, port %d: %w; --port 0 takes one that is free", o.address, o.port, err)
	}
	defer listener.Close() //nolint:errcheck // the server closes it first
	c := serve.Config{Token: o.token, Hosts: o.hosts, Limits: o.Limits, LogTexts: o.logTexts, Version: version}
	if ip != nil && !ip.IsUnspecified() {
		c.Hosts = append(c.Hosts, ip.String())
	}
	if o.log || o.logTexts {
		c.Log = slog.New(slog.NewJSONHandler(a.err, nil))
	}
	for _, file := range o.dictionaries {
		d, err := inspect.ReadAutoencoder(file)
		if err != nil {
			return err
		}
		c.Dictionaries = append(c.Dictionaries, serve.Dictionary{Name: called(file), Autoencoder: d})
	}
	for _, name := range names {
		m, err := a.openModel(ctx, name, backend.Options{})
		if err != nil {
			return err
		}
		defer m.Close()
		c.Models = append(c.Models, serve.Model{Name: called(name), Model: m})
	}
	s, err := serve.New(c)
	if err != nil {
		return err
	}
	defer s.Close()
	address := "http://" + listener.Addr().String() + "/"
	if madeUp {
		err = printf(a.out, "%s?token=%s\n", address, o.token)
	} else {
		err = printf(a.out, "%s\n", address)
	}
	if err != nil {
		return err
	}
	if !o.noBrowser {
		show(address, o.token)
	}
	return a.listen(ctx, s.HTTP(), listener)
}

// show opens the page in the person's browser, where there is a screen to show it on. The address stands on the
// terminal anyway.
func show(address, token string) {
	if token != "" {
		address += "?token=" + url.QueryEscape(token)
	}
	opener := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		opener = []string{"open"}
	case "windows":
		opener = []string{"rundll32", "url.dll,FileProtocolHandler"}
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return
		}
	}
	if c := exec.Command(opener[0], append(opener[1:], address)...); c.Start() == nil {
		go func() { _ = c.Wait() }()
	}
}

// called is the name that a model is served under: the last part of where it lies.
func called(name string) string {
	name = strings.TrimPrefix(name, "hf:")
	return strings.TrimSuffix(filepath.Base(filepath.Clean(name)), ".gguf")
}

// listen serves until ctx ends, and then lets what runs end.
func (a *app) listen(ctx context.Context, s *http.Server, l net.Listener) error {
	a.orderly.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	a.note("ending; what runs may take %v more, and a second Ctrl-C ends it now", grace)
	within, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	if err := s.Shutdown(within); err != nil && !errors.Is(err, http.ErrServerClosed) {
		_ = s.Close()
	}
	return nil
}
