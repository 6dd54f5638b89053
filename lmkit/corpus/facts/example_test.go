package facts_test

import (
	"fmt"
	"log"
	"strings"

	"lmkit.internal/lmkit/corpus/facts"
)

// Read a fact as it stands in a file.
func ExampleRead() {
	all, err := facts.Read(strings.NewReader("capital: The capital of {France|Japan} is {Paris|Tokyo}"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q goes on with %q\n", all[0].Text(), all[0].Answer)
	fmt.Printf("%q goes on with %q\n", all[0].Changed(), all[0].Other)
	// Output:
	// "The capital of France is" goes on with " Paris"
	// "The capital of Japan is" goes on with " Tokyo"
}
