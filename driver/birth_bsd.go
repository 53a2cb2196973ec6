//go:build darwin || freebsd || netbsd

package driver

import (
	"os"
	"syscall"
	"time"
)

// birthOf returns the creation time of the named file, or the zero time if it is unknown.
func birthOf(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Birthtimespec.Unix())
}
