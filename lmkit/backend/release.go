package backend

import (
	"context"
	"fmt"
)

func fromRelease(ctx context.Context, o Options, folder string) (string, error) {
	return "", fmt.Errorf("go-xla's release: %w", errNoNetwork)
}

func cachedRelease(folder string) string { return "" }
