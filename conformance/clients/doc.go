// Package clients checks that a program can change the driver below its database library
// without seeing a difference. It runs real, unmodified libraries over "sqlitemw", traced and
// untraced, and over the plain driver "sqlite3".
//
// Each library has a program that uses it as applications do. The program writes what it sees
// into a transcript: values, their Go types, and errors with their types and codes. The
// transcripts must be equal. Drivers with deliberate faults show that the comparison can fail.
package clients
