// Command lmkit trains language models and explains what they predict.
package main

import (
	"os"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/cli"
)

func main() {
	backend.Tune()
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
