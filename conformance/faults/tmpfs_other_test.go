//go:build !linux

package faults

import (
	"errors"
	"testing"
)

func newTmpfs(t testing.TB, _ int) string {
	t.Helper()
	skip(t, errors.New("a small disk cannot be mounted: implemented on Linux only"))
	return ""
}
