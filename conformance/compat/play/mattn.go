//go:build mattn

package main

import (
	_ "github.com/mattn/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

var targets = map[string]target{
	"sqlite3": {player.Mattn, "sqlite3", "_busy_timeout=0"},
}
