//go:build !mattn || !cgo

package main

func mattn() *Contender {
	return &Contender{Name: "mattn", What: "github.com/mattn/go-sqlite3, by cgo",
		Missing: "left out: this program was built without cgo or without -tags mattn"}
}
