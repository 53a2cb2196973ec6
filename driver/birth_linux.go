package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// birthOf returns the creation time of the named file, or the zero time if the file system
// does not record it.
func birthOf(name string) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}
