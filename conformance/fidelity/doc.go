// Package fidelity plays the conformance suite over this driver and over other
// wrappers of database/sql drivers, with the same SQLite beneath, and tables which
// cases each of them breaks.
//
//	go test -run TestFidelity -count 1 . -table
//
// writes the table to FIDELITY.md. Without -table the test plays this driver alone.
package fidelity
