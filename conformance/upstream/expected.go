package main

// A difference is a test of ncruces that passes on the plain driver and fails on sqlitemw, on
// purpose.
type difference struct {
	pkg    string // directory in the module
	test   string
	says   string // part of its output when it fails for the reason
	reason string
}

var expected = []difference{{
	pkg: "driver", test: "Test_Open_pragma_invalid",
	says:   "sqlitemw: invalid data source name: pragma busy_timeout",
	reason: "an invalid pragma is refused when the DSN is parsed, not when a connection is opened",
}, {
	pkg: "driver", test: "Test_Open_txLock_invalid",
	says:   `sqlitemw: invalid data source name: _txlock is "xclusive"`,
	reason: "the error for an unknown _txlock differs: it lists the known values",
}}

// opensNone are packages whose tests open no database through the driver unless the environment
// variable is set.
var opensNone = map[string]string{
	"vfs/tests": "SQLITE3_TEST_WAL_STRESS",
}
