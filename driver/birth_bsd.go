//go:build darwin || freebsd || netbsd

package driver

import (
	"os"
	"syscall"
	"time"
)

// birthOf returns when the file of this name was made, or zero if that is not known.
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
