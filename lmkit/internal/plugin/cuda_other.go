//go:build !linux || !amd64

package plugin

import (
	"context"
	"errors"
)

func installCUDA(context.Context, Options) (Plugin, error) {
	return Plugin{}, errors.New("there is no CUDA plugin for this system")
}
