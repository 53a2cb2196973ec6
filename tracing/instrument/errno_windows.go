package instrument

import "syscall"

// The names are those of other systems, so that an alert need not know the system. Windows' own
// have WSA before them.
// https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
var errnos = []errnoEntry{
	{10061, "ECONNREFUSED"},
	{syscall.WSAECONNRESET, "ECONNRESET"},
	{syscall.WSAECONNABORTED, "ECONNABORTED"},
	{syscall.ERROR_BROKEN_PIPE, "EPIPE"},
	{10060, "ETIMEDOUT"},
	{10065, "EHOSTUNREACH"},
	{10051, "ENETUNREACH"},
	{10050, "ENETDOWN"},
	{10052, "ENETRESET"},
	{10049, "EADDRNOTAVAIL"},
	{10024, "EMFILE"},
	{10055, "ENOBUFS"},
	{syscall.ERROR_FILE_NOT_FOUND, "ENOENT"},
	{syscall.ERROR_ACCESS_DENIED, "EACCES"},
}
