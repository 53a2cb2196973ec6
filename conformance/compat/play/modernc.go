//go:build modernc

package main

import (
	_ "modernc.org/sqlite"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

var targets = map[string]target{
	"sqlite": {player.Modernc, "sqlite", "_pragma=busy_timeout(0)"},
}
