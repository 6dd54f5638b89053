package kernels_test

import (
	"fmt"
	"log"
	"os"

	"lmkit.internal/kernels"
)

// List the kernels of a folder. Install would put some into it, and Uninstall takes away what Install put there.
func ExampleList() {
	folder, err := os.MkdirTemp("", "kernels")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	installed, err := kernels.List(folder)
	if err != nil {
		log.Fatal(err)
	}
	removed, err := kernels.Uninstall(folder)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(installed), "installed,", len(removed), "removed")
	// Output: 0 installed, 0 removed
}

// Settings stand in a kernel's kernel.json as arguments of the command that runs it.
func ExampleSettings_Args() {
	s := kernels.Settings{Checkout: "/home/ada/lmkit", Engine: "go", Go: "go", Tools: "/home/ada/tools"}
	for _, arg := range s.Args() {
		fmt.Println(arg)
	}
	// Output:
	// --checkout=/home/ada/lmkit
	// --engine=go
	// --plugin=
	// --go=go
	// --tools=/home/ada/tools
}
