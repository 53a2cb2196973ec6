//go:build !windows

package instrument

import "syscall"

var errnos = []errnoEntry{
	{syscall.ECONNREFUSED, "ECONNREFUSED"},
	{syscall.ECONNRESET, "ECONNRESET"},
	{syscall.ECONNABORTED, "ECONNABORTED"},
	{syscall.EPIPE, "EPIPE"},
	{syscall.ETIMEDOUT, "ETIMEDOUT"},
	{syscall.EHOSTUNREACH, "EHOSTUNREACH"},
	{syscall.ENETUNREACH, "ENETUNREACH"},
	{syscall.ENETDOWN, "ENETDOWN"},
	{syscall.ENETRESET, "ENETRESET"},
	{syscall.EADDRNOTAVAIL, "EADDRNOTAVAIL"}, // no local port is free
	{syscall.EMFILE, "EMFILE"},               // too many files are open
	{syscall.ENFILE, "ENFILE"},
	{syscall.ENOBUFS, "ENOBUFS"},
	{syscall.ENOENT, "ENOENT"}, // of a socket's file
	{syscall.EACCES, "EACCES"},
}
