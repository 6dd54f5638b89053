package hub

import (
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
	"regexp"
	"strings"
	"time"

	"lmkit.internal/lmkit/internal/fetch"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/strict"
)

// client gives up soon on a host that does not answer, and is patient with one that sends.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	TLSHandshakeTimeout:   10 * time.Second,
	ResponseHeaderTimeout: 30 * time.Second,
	ForceAttemptHTTP2:     true,
}}

// find returns the snapshot of a model in the cache, and fetches what is missing of it; anew, also what has changed.
func (r repo) find(ctx context.Context, o Options, anew bool) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	folder, err := r.folder()
	if err != nil {
		return "", err
	}
	if path := r.cached(folder); path != "" && (!anew || o.Offline) {
		return path, nil
	}
	if o.Offline {
		return "", errors.New("it is not at hand, and the network is not to be used")
	}
	return r.pull(ctx, o, folder)
}

// pull fetches the files that lmkit reads.
func (r repo) pull(ctx context.Context, o Options, folder string) (string, error) {
	o.Progress.Begin("asking for the files of " + r.id())
	about, err := r.ask(ctx)
	if err != nil {
		return "", err
	}
	files, err := r.wanted(about.Files)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		blob := f.blob()
		request := fetch.Request{
			URL:    endpoint() + "/" + r.id() + "/resolve/" + about.Commit + "/" + url.PathEscape(f.Name),
			Dest:   filepath.Join(folder, "blobs", blob),
			Size:   f.Size,
			Blob:   f.Blob,
			Header: header(), Client: client,
			Progress: o.Progress, What: "downloading " + f.Name,
		}
		if f.Large != nil {
			request.SHA256, request.Blob = f.Large.SHA256, ""
		}
		if err := fetch.File(ctx, request); err != nil {
			return "", explained(err)
		}
		if err := place(folder, blob, about.Commit, f.Name); err != nil {
			return "", fmt.Errorf("the cache folder of models cannot be written (%w): set HF_HOME to a folder you can write",
				err)
		}
	}
	if err := r.refer(folder, about.Commit); err != nil {
		return "", err
	}
	path := r.complete(filepath.Join(folder, "snapshots", about.Commit))
	if path == "" {
		return "", errors.New("what was fetched is no whole model: its weights are not all there")
	}
	return path, nil
}

// description is what a hub says of a model.
type description struct {
	Commit string   `json:"sha"`
	Files  []remote `json:"siblings"`
}

// remote is a file on the hub. Large files have a SHA-256; of small ones git's name is known.
type remote struct {
	Name  string `json:"rfilename"`
	Size  int64  `json:"size"`
	Blob  string `json:"blobId"`
	Large *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

// blob is the file's name in the cache, which is its checksum.
func (f remote) blob() string {
	if f.Large != nil {
		return f.Large.SHA256
	}
	return f.Blob
}

func endpoint() string {
	if base := os.Getenv("HF_ENDPOINT"); base != "" {
		return strings.TrimRight(base, "/")
	}
	return "https://huggingface.co"
}

// header carries the user's token. The client does not hand it on to another host.
func header() http.Header {
	h := http.Header{}
	if token := os.Getenv("HF_TOKEN"); token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

// ask asks the hub which files the model has, and what they must be.
func (r repo) ask(ctx context.Context) (about description, err error) {
	address := endpoint() + "/api/models/" + r.id() + "/revision/" + url.PathEscape(r.revision) + "?blobs=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return about, fmt.Errorf("HF_ENDPOINT is not an address: %w", err)
	}
	request.Header = header()
	answer, err := client.Do(request)
	if wrapped := new(url.Error); errors.As(err, &wrapped) && ctx.Err() == nil {
		return about, fmt.Errorf("%s does not answer (%w): check the network, or set HF_ENDPOINT", endpoint(), wrapped.Err)
	}
	if err != nil {
		return about, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return about, explained(&fetch.StatusError{Code: answer.StatusCode})
	}
	if err := strict.Plain(json.NewDecoder(io.LimitReader(answer.Body, 16<<20)).Decode(&about)); err != nil {
		return about, fmt.Errorf("%s sends no description that can be read: %w", endpoint(), err)
	}
	if !validCommit.MatchString(about.Commit) {
		return about, fmt.Errorf("%s names no commit", endpoint())
	}
	return about, nil
}

// explained says what the usual refusals of a hub mean.
func explained(err error) error {
	var status *fetch.StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%s does not give it out (%w): check the name; for a model with conditions accept them on "+
				"its page, and set HF_TOKEN", endpoint(), err)
		case http.StatusNotFound:
			return fmt.Errorf("%s has no such model or revision: check the name", endpoint())
		}
	}
	return err
}

// readable are the names of the small files that lmkit reads, and of those that say what a model is.
var readable = regexp.MustCompile(`^(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|` +
	`added_tokens|vocab|chat_template|model\.safetensors\.index)\.json$|` +
	`^merges\.txt$|^tokenizer\.model$|^chat_template\.jinja$|^README\.md$|^LICENSE`)

var part = regexp.MustCompile(`^model-\d{5}-of-\d{5}\.safetensors$`)

// wanted chooses the files to fetch, and checks what the hub says of them.
func (r repo) wanted(all []remote) (files []remote, err error) {
	weights, parts := false, []remote{}
	var instead []string
	for _, f := range all {
		switch {
		case r.file != "":
			if f.Name == r.file {
				files = append(files, f)
			}
		case f.Name == safetensors.WeightsFile:
			files, weights = append(files, f), true
		case part.MatchString(f.Name):
			parts = append(parts, f)
		case readable.MatchString(f.Name):
			files = append(files, f)
		case strings.HasSuffix(f.Name, ".gguf") && len(instead) < 3:
			instead = append(instead, f.Name)
		}
	}
	switch {
	case r.file != "" && len(files) == 0:
		return nil, fmt.Errorf("it has no file %s", r.file)
	case r.file == "" && !weights && len(parts) == 0 && len(instead) > 0:
		return nil, fmt.Errorf("it has GGUF files; name one of them: hf:%s/%s", r.id(), instead[0])
	case r.file == "" && !weights && len(parts) == 0:
		return nil, errors.New("it has no safetensors files; lmkit reads no pickles, which can run programs")
	case !weights:
		files = append(files, parts...)
	}
	for _, f := range files {
		if f.Large != nil {
			f.Size = f.Large.Size
		}
		digits := 40
		if f.Large != nil {
			digits = 64
		}
		if len(f.blob()) != digits || strings.Trim(f.blob(), "0123456789abcdef") != "" {
			return nil, fmt.Errorf("%s names no checksum of %s", endpoint(), f.Name)
		}
		if f.Name != filepath.Base(f.Name) || f.Size < 0 {
			return nil, fmt.Errorf("%s names no size of %.100q", endpoint(), f.Name)
		}
	}
	return files, nil
}
