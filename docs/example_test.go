package docs_test

import (
	"fmt"
	"os"
	"path/filepath"

	"lmkit.internal/docs"
)

// The manual is written into a folder, where a browser opens its first page without a network.
func Example() {
	dir, err := os.MkdirTemp("", "manual")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	first, err := docs.Write(dir)
	if err != nil {
		panic(err)
	}
	pages, err := docs.Pages()
	if err != nil {
		panic(err)
	}
	fmt.Println(filepath.Base(first), "comes before", len(pages) > 10, "others")
	// Output: README.html comes before true others
}
