// Package random compares "sqlitemw" with the plain driver in sessions that
// nobody has thought of.
//
// A session is a program of calls of [database/sql], made up at random: of
// tables that change under statements, transactions, savepoints, rows that are
// left open, arguments that do not fit. Each is played on the plain driver and
// on "sqlitemw" in several configurations, each time on a fresh file, and what
// the program sees must be the same to the letter. A small model of a database
// says besides what whole tables must hold, so that two drivers that are wrong
// alike are found out.
//
// A session that sees a difference is shrunk, and printed as a program:
//
//	go test -rapid.seed=0 -rapid.checks=20000    # other sessions than those of every day
//
// Everything is in the tests.
package random
