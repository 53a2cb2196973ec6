// Package clients proves that a program may change the driver beneath its
// database library and see no difference: real, unmodified libraries run over
// "sqlitemw", traced and untraced, and over the plain driver "sqlite3".
//
// Each library has a program that uses it as applications do, and writes what
// it sees into a transcript: values, their Go types, errors with their types
// and codes. Transcripts must be equal. That the comparison can fail is shown
// by drivers that are broken on purpose.
package clients
