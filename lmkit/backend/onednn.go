package backend

import (
	"context"
	"os"
)

// XLA's own flags are read when its plugin is loaded. These hand large products of matrices to oneDNN, which trains and
// explains a few per cent faster. Plugins differ, and an unknown flag ends the process: so a child tries them first.
// Programs that call oneDNN cannot be stored: the plugin ends the process over some of them. So the flags are for where
// programs are not kept.
const (
	envFlags    = "XLA_FLAGS"
	callsOneDNN = "--xla_cpu_experimental_onednn_custom_call=true"
	onednnFlags = "--xla_cpu_use_onednn=true " + callsOneDNN
)

// useOneDNN sets XLA's flags for a plugin that is about to be loaded, if it takes them. Who sets XLA_FLAGS, or turns
// tuning off, decides alone.
func useOneDNN(ctx context.Context, plugin string) {
	if !probing || os.Getenv(envFlags) != "" || os.Getenv(EnvTune) == "off" {
		return
	}
	if takesFlags(ctx, plugin, onednnFlags) {
		os.Setenv(envFlags, onednnFlags)
	}
}

// takesFlags asks what is known of a plugin, or else a child process, whose answer is remembered.
func takesFlags(ctx context.Context, file, flags string) bool {
	k, err := known(file)
	if err != nil {
		return false
	}
	takes, tried := k.Computes[flags]
	if tried {
		return takes
	}
	takes, err = tries(ctx, file, envFlags+"="+flags)
	if err != nil {
		return false
	}
	k.Computes[flags] = takes
	k.remember()
	return takes
}

var tries = probe // tests answer themselves
