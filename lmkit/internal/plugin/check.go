package plugin

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// Check refuses a file that the dynamic linker would refuse less clearly: not a library, one for another
// processor, one that was cut short.
func Check(file string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("the plugin cannot be read: %w", err)
	}
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("the plugin %s is not a whole shared library (%s): remove it and start again", file,
			oneLine(err.Error()))
	}
	defer f.Close()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if want := machines[runtime.GOARCH]; f.Machine != want {
		return fmt.Errorf("the plugin %s is for %v, this machine is %v: install the plugin for this machine", file,
			f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Off+p.Filesz > uint64(info.Size()) {
			return fmt.Errorf("the plugin %s is cut short: remove it and start again", file)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err == nil && !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" }) {
		err = errors.New("it lacks the symbol GetPjrtApi")
	}
	if err != nil {
		return fmt.Errorf("%s is not a PJRT plugin: %w", file, err)
	}
	return nil
}
