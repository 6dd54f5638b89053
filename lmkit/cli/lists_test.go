package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/internal/strict/stricttest"
)

// Whatever is given to a flag in place of what it takes, the mistake is told in words: whichever flag it is, of
// whichever command.
func TestWordsOfWrongFlags(t *testing.T) {
	refused := 0
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			each(sub)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, value := range []string{"text", "", "-1", "0.5", "1e12", "1e400", "99999999999999999999", "NaN", "Inf",
				"0x", "1,,2", `a"b`, `"`, "1,2,x", "\x1b[2J\u202e", "\xff", "[]", "{}", "true,false", "5 minutes"} {
				err := cmd.ParseFlags([]string{"--" + f.Name + "=" + value})
				if err == nil {
					continue
				}
				refused++
				said := flagMistake(err)
				if wrong := stricttest.Unreadable(errors.New(said)); wrong != "" || !strings.Contains(said, "--"+f.Name) {
					t.Errorf("%s --%s %q: %s: %s", cmd.CommandPath(), f.Name, value, said, wrong)
				}
			}
		})
	}
	each((&app{}).root())
	if refused < 500 {
		t.Errorf("only %d values were refused", refused)
	}
}

// No flag that takes a list takes the same thing twice: whichever flag it is, of whichever command.
func TestNothingTwice(t *testing.T) {
	lists := 0
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			each(sub)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, is := f.Value.(pflag.SliceValue); !is {
				return
			}
			lists++
			for given, twice := range map[string]bool{"1": false, "1,2": false, "2,1,2": true, "2, 1, 1": true} {
				path := strings.Fields(cmd.CommandPath())[1:]
				again, _, err := (&app{}).root().Find(path)
				if err != nil {
					t.Fatal(err)
				}
				var args []string
				for value := range strings.SplitSeq(given, ",") {
					args = append(args, "--"+f.Name+"="+value)
				}
				if err := again.ParseFlags(args); err != nil {
					if strings.Contains(f.Value.Type(), "int") || strings.Contains(f.Value.Type(), "float") {
						continue // numbers have no spaces before them
					}
					t.Fatal(err)
				}
				if err := once(again.Flags()); (err != nil) != twice ||
					twice && !strings.Contains(err.Error(), "--"+f.Name+" has ") {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, given, err)
				}
			}
		})
	}
	each((&app{}).root())
	if lists < 20 {
		t.Errorf("only %d flags take a list", lists)
	}
}
