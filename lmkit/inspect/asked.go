package inspect

import "fmt"

// mostAsked is how many of anything may be asked for: each is a run of the model, or a row to look at.
const mostAsked = 1 << 14

// askedFor returns an error if a setting, in JSON's name, asks for a number of things that cannot be.
func askedFor(setting string, n int) error {
	if n < 0 || n > mostAsked {
		return fmt.Errorf("%s is %d; it can be 1 to %d, or 0 for the usual number", setting, n, mostAsked)
	}
	return nil
}
