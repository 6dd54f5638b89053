package backend_test

import (
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

func TestProductRate(t *testing.T) {
	if rate, err := backendtest.PureGo(t).ProductRate(32); err != nil || !(rate > 0) {
		t.Errorf("%v GFLOP/s, %v", rate, err)
	}
}
