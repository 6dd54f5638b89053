package cli_test

import (
	"fmt"
	"os"

	"lmkit.internal/lmkit/cli"
)

// Run commands as a program would. Results go to the first writer, and a mistake to the second: one line, and exit
// code 2.
func ExampleMain() {
	code := cli.Main([]string{"explian", "runs/first"}, os.Stdin, os.Stdout, os.Stdout)
	fmt.Println("exit code", code)
	// Output:
	// lmkit: there is no command "explian"; did you mean explain?
	// exit code 2
}
