// Package fidelity plays the conformance suite over this driver and over other wrappers of
// database/sql drivers, with the same SQLite below. It writes a table of the cases that each of
// them breaks:
//
//	go test -run TestFidelity -count 1 . -table
//
// It writes the table to FIDELITY.md. Without -table, the test plays only this driver.
package fidelity
