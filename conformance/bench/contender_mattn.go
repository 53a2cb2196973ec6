//go:build mattn && cgo

package main

import (
	"context"
	"net/url"

	"github.com/mattn/go-sqlite3"
)

func mattn() *Contender {
	return &Contender{Name: "mattn", What: "github.com/mattn/go-sqlite3, by cgo", open: openMattn}
}

func openMattn(_ context.Context, file string, o Options) (Database, error) {
	params := url.Values{}
	for _, s := range o.settings() {
		params.Set("_"+s.name, s.value)
	}
	return openDriver(&sqlite3.SQLiteDriver{}, uri(file, params), o)
}
