//go:build !mattn && !modernc

package main

import (
	_ "github.com/sqlitemw/sqlitemw/driver"
	_ "github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

// noTimeout are the parameters with which "sqlitemw" does not wait for locks, and takes none in
// Begin.
const noTimeout = "_pragma=busy_timeout(0)&_txlock=deferred"

var targets = map[string]target{
	"sqlitemw-mattn":        {player.Mattn, "sqlitemw", noTimeout},
	"sqlitemw-modernc":      {player.Modernc, "sqlitemw", noTimeout},
	"sqlitemw-pool-mattn":   {player.Mattn, "sqlitemw", noTimeout},
	"sqlitemw-pool-modernc": {player.Modernc, "sqlitemw", noTimeout},
}
