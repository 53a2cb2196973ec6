// Package random compares "sqlitemw" with the plain driver in random sessions.
//
// A session is a random program of [database/sql] calls: tables that change while statements
// use them, transactions, savepoints, rows that stay open, and unsuitable arguments. Each
// program is played on the plain driver and on "sqlitemw" in several configurations, each time
// on a fresh file. What the program sees must be exactly the same. A small model of a database
// also predicts the contents of whole tables, so that two drivers with the same fault are
// detected.
//
// A session that sees a difference is shrunk, and printed as a program. Run other sessions with
//
//	go test -rapid.seed=0 -rapid.checks=20000    # not the everyday sessions
//
// Everything is in the tests.
package random
