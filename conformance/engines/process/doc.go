// Package process runs the processes of real database servers for tests: it starts them as the
// right user in a directory in memory, kills, pauses and resumes them with all their children,
// and removes everything at the end of the test, also when the test itself is killed.
//
// It needs Linux, because it finds a server's processes in /proc.
package process
