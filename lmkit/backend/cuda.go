package backend

import (
	"context"
	"errors"
)

func installCUDA(ctx context.Context, o Options) (file, origin string, err error) {
	return "", "", errors.New("no CUDA plugin is installed")
}
