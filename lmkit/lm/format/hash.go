package format

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/number"
)

// Hash identifies a model by what its files hold: it is the SHA-256, in hexadecimal, of the configuration and of a line
// for each tensor that parameters are in, by name. The line has the tensor's name as the family's rules have it, its
// number type and shape, and the SHA-256 of its bytes. What else is in the files, and how many there are, is no part of
// it. When ctx ends, no other tensor is read, and its error is returned.
func (u *Unpacker) Hash(ctx context.Context, c net.Config) (string, error) {
	bytes := map[string]int{}
	for _, p := range c.Params() {
		tensor := u.rules[p.Name].Tensor
		bytes[tensor] = 0
		_ = u.tensors.View(u.names[tensor], func(raw []byte) error { bytes[tensor] = len(raw); return nil })
	}
	names := slices.SortedFunc(maps.Keys(bytes), func(a, b string) int {
		return cmp.Or(cmp.Compare(bytes[b], bytes[a]), cmp.Compare(a, b))
	})
	sums := sums{}
	var mu sync.Mutex // guards sums, names and failed
	var failed error
	next := func() (name string, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		failed = cmp.Or(failed, ctx.Err())
		if len(names) == 0 || failed != nil {
			return "", false
		}
		name, names = names[0], names[1:] // the largest
		return name, true
	}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for name, ok := next(); ok; name, ok = next() {
				dims, kind, _ := u.tensors.Shape(u.names[name])
				err := u.tensors.View(u.names[name], func(raw []byte) error {
					sum := line(kind, dims, raw)
					mu.Lock()
					defer mu.Unlock()
					sums[name] = sum
					return nil
				})
				mu.Lock()
				failed = cmp.Or(failed, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed != nil {
		return "", failed
	}
	return sums.hash(c)
}

// HashOf is the Hash of a model that is saved with these numbers of its parameters.
func HashOf(c net.Config, get func(param string) []float32) (string, error) {
	sums := sums{}
	put := func(tensor string, dims []int, data []float32) {
		sums[tensor] = line(number.F32, dims, number.Bytes(data))
	}
	if f, _, err := Write(c); err == nil {
		Pack(f, c, get, put)
	} else {
		for _, p := range c.Params() { // no family's files hold it
			put(p.Name, p.Dims, get(p.Name))
		}
	}
	return sums.hash(c)
}

// sums are what identifies each tensor.
type sums map[string]string

func line(kind number.Kind, dims []int, raw []byte) string {
	return fmt.Sprintf("%s %v %x", kind, dims, sha256.Sum256(raw))
}

func (s sums) hash(c net.Config) (string, error) {
	shape, err := json.Marshal(c.WithDefaults())
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", shape)
	for _, tensor := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(sum, "%q %s\n", tensor, s[tensor])
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
