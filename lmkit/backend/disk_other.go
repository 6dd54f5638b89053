//go:build !linux && !darwin

package backend

import "errors"

func diskFree(string) (int64, error) { return 0, errors.ErrUnsupported }
