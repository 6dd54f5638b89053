package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/fetch"
	"lmkit.internal/lmkit/progress"
)

// WikiTextURL is where WikiText-2 comes from by default: the tokenised text with rare words as <unk>, whose
// perplexities are published. Its sibling wikitext-2-raw-v1 has the untouched text.
const WikiTextURL = "https://huggingface.co/datasets/Salesforce/wikitext/resolve/main/wikitext-2-v1"

// WikiTextEnv names the environment variable that holds another address.
const WikiTextEnv = "LMKIT_WIKITEXT_URL"

// WikiTextConfig says where WikiText-2 is. The zero value downloads it once from WikiTextURL.
type WikiTextConfig struct {
	// Folder, if not "", holds the files; nothing is downloaded. It may lack some of the three parts.
	Folder string

	// URL is the folder to download the files from; "" means the environment's LMKIT_WIKITEXT_URL, or else WikiTextURL.
	URL string
	// SHA256 has the checksums to insist on, by file name, such as "train-00000-of-00001.parquet".
	SHA256 map[string]string
	// Cache is the folder that keeps the downloaded files; "" means lmkit/wikitext-2 in the user's cache folder.
	Cache string
	// Progress hears of the bytes of each file that is downloaded; its What is the file's name.
	Progress progress.Func
	// Client, if not nil, makes the requests.
	Client *http.Client
}

// wikiTextNames are the names under which the parts go around: in the original archive, in the raw one, as plain text,
// and as the data sets of the Hugging Face hub.
var wikiTextNames = [][3]string{
	{"train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test-00000-of-00001.parquet"},
	{"wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"},
	{"wiki.train.raw", "wiki.valid.raw", "wiki.test.raw"},
	{"train.txt", "valid.txt", "test.txt"},
	{"train.parquet", "validation.parquet", "test.parquet"},
}

// WikiText2 returns the WikiText-2 corpus (Merity et al. 2016, "Pointer Sentinel Mixture Models"; CC BY-SA 3.0):
// articles of Wikipedia, one paragraph a line. Cancelling ctx keeps the bytes that have arrived; the next call goes on
// from there.
func WikiText2(ctx context.Context, c WikiTextConfig) (*Corpus, error) {
	folder, names := c.Folder, wikiTextNames
	if folder == "" {
		var own [3]string
		var err error
		if folder, own, err = c.download(ctx); err != nil {
			return nil, fmt.Errorf("WikiText-2: %w", err)
		}
		names = [][3]string{own}
	}
	if info, err := os.Stat(folder); err != nil {
		return nil, fmt.Errorf("WikiText-2: %s: %w", folder, plain(err))
	} else if !info.IsDir() {
		return nil, fmt.Errorf("WikiText-2: %s is not a folder", folder)
	}
	corpus := &Corpus{Name: "wikitext-2"}
	for part, docs := range []*[]Document{&corpus.Train, &corpus.Valid, &corpus.Test} {
		for _, set := range names {
			d, err := readWikiText(filepath.Join(folder, set[part]))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			*docs = []Document{d}
			break
		}
	}
	if len(corpus.Train)+len(corpus.Valid)+len(corpus.Test) == 0 {
		return nil, fmt.Errorf("WikiText-2: folder %s has none of its files: need %s, or %s, or %s and so on",
			folder, wikiTextNames[1][0], wikiTextNames[3][0], wikiTextNames[0][0])
	}
	return corpus, nil
}

func readWikiText(path string) (Document, error) {
	if filepath.Ext(path) == ".parquet" {
		return readParquet(path)
	}
	return readFile(path)
}

// download makes sure that the files are in the cache. It returns their folder and names.
func (c WikiTextConfig) download(ctx context.Context) (folder string, names [3]string, err error) {
	base := c.URL
	if base == "" {
		base = os.Getenv(WikiTextEnv)
	}
	if base == "" {
		base = WikiTextURL
	}
	base = strings.TrimRight(base, "/")
	folder = c.Cache
	if folder == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", names, fmt.Errorf("find the cache folder: %w", err)
		}
		folder = filepath.Join(user, "lmkit", "wikitext-2")
	}
	// Two addresses may offer different texts under one name.
	sum := sha256.Sum256([]byte(base))
	folder = filepath.Join(folder, hex.EncodeToString(sum[:6]))

	sets := slices.Clone(wikiTextNames)
	slices.SortStableFunc(sets, func(a, b [3]string) int { return cached(folder, b) - cached(folder, a) })
	for _, names = range sets {
		for _, name := range names {
			if err = c.file(ctx, base, folder, name); err != nil {
				break
			}
		}
		var refused *fetch.StatusError
		if !errors.As(err, &refused) || refused.Code != http.StatusNotFound {
			break // done, or a trouble that another name does not cure
		}
	}
	var refused *fetch.StatusError
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		err = fmt.Errorf("%s has none of the known files (%s, %s ...): set %s to an address that has, or give a folder",
			base, wikiTextNames[0][0], wikiTextNames[1][0], WikiTextEnv)
	}
	return folder, names, err
}

// cached counts the files that are in the folder, so that what was downloaded once needs no server again.
func cached(folder string, names [3]string) int {
	n := 0
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			n++
		}
	}
	return n
}

func (c WikiTextConfig) file(ctx context.Context, base, folder, name string) error {
	return fetch.File(ctx, fetch.Request{URL: base + "/" + name, SHA256: c.SHA256[name], Dest: filepath.Join(folder, name),
		Client: c.Client, Progress: c.Progress, What: name})
}
