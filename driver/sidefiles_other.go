//go:build !unix

package driver

import "os"

// setsModes reports whether files have permissions and owners that the engine can set.
const setsModes = false

func copyMode(os.FileInfo, string) {}
