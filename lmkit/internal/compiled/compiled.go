// Package compiled keeps the programs that XLA compiled on disk, so that a later process loads what an earlier one
// compiled.
package compiled

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit/internal/store"
)

// Limit is how many bytes of programs a folder holds. What was not loaded for longest goes first.
const Limit = 1 << 30

// Cache is a folder of compiled programs, as they are for one setting. It is safe to use from several goroutines, and
// several processes may use the folder at once.
//
// A program is machine code, and whoever can write in the folder can have it run: so the folder is the user's own, and
// no program is loaded whose checksum is wrong.
type Cache struct {
	Folder  string
	setting sum
	root    string // up to which folders must be the user's own
	limit   int64
}

// sum is a SHA-256.
type sum [sha256.Size]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// Env is the environment variable that names the folder, or is "off".
const Env = "LMKIT_CACHE"

// ErrOff says that programs are not to be kept.
var ErrOff = errors.New(Env + " is off")

// Open opens the cache in the folder that [Env] names, and else in that of programs in the user's cache folder; the
// folder is made if need be. The setting is everything that decides what a program is compiled to, besides the program
// and the options that it is compiled with. It is an error that another user could have written in the folder.
func Open(setting ...string) (*Cache, error) {
	c := &Cache{setting: digest(setting...), limit: Limit}
	var err error
	switch name := os.Getenv(Env); name {
	case "off":
		return nil, ErrOff
	case "":
		c.Folder, c.root, err = ownFolder()
	default:
		if c.Folder, err = filepath.Abs(name); err == nil {
			err = os.MkdirAll(c.Folder, 0o700)
		}
		c.root = c.Folder
	}
	if err == nil {
		err = store.Trusted(c.Folder, c.root)
	}
	if err != nil && os.Getenv(Env) != "" {
		return nil, fmt.Errorf("%s names a folder that cannot be used: %w", Env, err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ownFolder makes the folder of programs in the user's cache folder, its root, if need be.
func ownFolder() (folder, root string, err error) {
	s, err := store.Open("programs")
	if err != nil {
		return "", "", err
	}
	root = filepath.Dir(filepath.Dir(s.Folder))
	if _, err := os.Stat(s.Folder); err == nil {
		return s.Folder, root, nil
	}
	if err := s.Make(); err != nil {
		return "", "", err
	}
	return s.Folder, root, os.Chmod(s.Folder, 0o700)
}

// digest is the checksum of several texts, of which none can pass for a part of another one.
func digest[T ~string | ~[]byte](parts ...T) (s sum) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	h.Sum(s[:0])
	return s
}

// Setting names the cache's setting.
func (c *Cache) Setting() string { return c.setting.String() }

// A program's file is named after its key, and begins with a head:
//
//	magic | checksum of all that follows | setting | key | nanoseconds that compiling took, little-endian
const (
	magic    = "lmkit program 1\n"
	headSize = len(magic) + 3*sha256.Size + 8
	suffix   = ".program"
	making   = "making-" // what the names of files in the making begin with
)

func (c *Cache) file(key sum) string { return filepath.Join(c.Folder, key.String()+suffix) }

// key is the name of a program under the cache's setting.
func (c *Cache) key(parts ...[]byte) sum {
	return digest(slices.Insert(parts, 0, c.setting[:])...)
}

// nameless is the text of a program without the name of its module: GoMLX numbers in it the shapes that a function was
// compiled for, in the order in which a process asked for them.
func nameless(text []byte) []byte {
	rest, ok := bytes.CutPrefix(text, []byte("module @"))
	if !ok {
		return text
	}
	return rest[max(0, bytes.IndexByte(rest, ' ')):]
}

// get returns a program that is kept. One that is damaged is removed.
func (c *Cache) get(key sum) (program []byte, ok bool) {
	name := c.file(key)
	if store.Trusted(name, c.root) != nil {
		return nil, false
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	h, ok := readHead(data)
	if !ok || h.key != key || h.setting != c.setting || sha256.Sum256(data[len(magic)+sha256.Size:]) != h.sum {
		c.drop(key)
		return nil, false
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // in a folder that cannot be written nothing is dropped either
	return data[headSize:], true
}

// drop removes a program that cannot be used.
func (c *Cache) drop(key sum) { _ = os.Remove(c.file(key)) }

// head is what a file says about its program.
type head struct {
	sum, setting, key sum
	took              time.Duration
}

// readHead reads the head of a file; ok says that it is one. The checksum is not compared.
func readHead(data []byte) (h head, ok bool) {
	if len(data) < headSize || string(data[:len(magic)]) != magic {
		return h, false
	}
	rest := data[len(magic):]
	for _, s := range []*sum{&h.sum, &h.setting, &h.key} {
		rest = rest[copy(s[:], rest):]
	}
	h.took = time.Duration(binary.LittleEndian.Uint64(rest))
	return h, true
}

// put keeps a program that took so long to compile, and makes room for it. The file comes whole, by a rename; it is not
// forced to the disk, since one that a power failure cuts has a wrong checksum.
func (c *Cache) put(key sum, program []byte, took time.Duration) error {
	if int64(headSize+len(program)) > c.limit {
		return nil
	}
	data := slices.Concat(c.setting[:], key[:], binary.LittleEndian.AppendUint64(nil, uint64(took)), program)
	check := sha256.Sum256(data)
	f, err := os.CreateTemp(c.Folder, making)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Concat([]byte(magic), check[:], data))
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(key))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep a compiled program: %w", err)
	}
	return c.makeRoom()
}

// abandoned is when a file in the making has no process any more that would finish it.
const abandoned = time.Hour

// makeRoom removes the programs that were not loaded for longest while there are more bytes than the limit, and what
// killed processes left.
func (c *Cache) makeRoom() error {
	all, err := files(c.Folder)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b file) int { return b.time.Compare(a.time) })
	total := int64(0)
	for _, f := range all {
		drop := !f.made && time.Since(f.time) > abandoned
		if f.made {
			total += f.size
			drop = total > c.limit
		}
		if drop {
			_ = os.Remove(f.path) // another process may have done so
		}
	}
	return nil
}

// file is one of this package's files in a folder.
type file struct {
	path string
	size int64
	time time.Time
	made bool // whole; else in the making
}

// files lists this package's files in a folder. Others are left alone.
func files(folder string) (all []file, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		made := strings.HasSuffix(e.Name(), suffix)
		if !made && !strings.HasPrefix(e.Name(), making) {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		all = append(all, file{filepath.Join(folder, e.Name()), info.Size(), info.ModTime(), made})
	}
	return all, nil
}

// Stats says what is kept.
type Stats struct {
	Programs int           // that are kept
	Bytes    int64         // that they take
	Here     int           // of them, those for the cache's setting
	Took     time.Duration // that those took to compile
}

// String is how many programs there are, and their size.
func (s Stats) String() string {
	return fmt.Sprintf("%d compiled programs (%.1f MB)", s.Programs, float64(s.Bytes)/1e6)
}

// Stat counts what is kept.
func (c *Cache) Stat() (s Stats, err error) {
	all, err := files(c.Folder)
	if err != nil {
		return s, err
	}
	for _, f := range all {
		if !f.made {
			continue
		}
		s.Programs++
		s.Bytes += f.size
		if h, ok := fileHead(f.path); ok && h.setting == c.setting {
			s.Here++
			s.Took += h.took
		}
	}
	return s, nil
}

// fileHead reads the head of a file alone.
func fileHead(path string) (h head, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return h, false
	}
	defer f.Close()
	data := make([]byte, headSize)
	n, _ := f.Read(data)
	return readHead(data[:n])
}

// Clear removes all programs from the folder, for all settings, and says how many and how large they were.
func (c *Cache) Clear() (s Stats, err error) {
	all, err := files(c.Folder)
	if err != nil {
		return s, err
	}
	for _, f := range all {
		if err := os.Remove(f.path); err != nil && !os.IsNotExist(err) {
			return s, fmt.Errorf("remove a compiled program: %w", err)
		}
		if f.made {
			s.Programs++
			s.Bytes += f.size
		}
	}
	return s, nil
}
