package main

// A difference is a test of ncruces' that passes over the plain driver, and
// fails over sqlitemw, on purpose.
type difference struct {
	pkg    string // directory in the module
	test   string
	says   string // what is in its output when it fails for the reason
	reason string
}

var expected = []difference{{
	pkg: "driver", test: "Test_Open_pragma_invalid",
	says:   "sqlitemw: invalid data source name: pragma busy_timeout",
	reason: "a pragma that cannot be one is refused when the DSN is read, not when a connection is opened",
}, {
	pkg: "driver", test: "Test_Open_txLock_invalid",
	says:   `sqlitemw: invalid data source name: _txlock is "xclusive"`,
	reason: "an unknown _txlock is refused in other words, with those that are known",
}}

// opensNone are packages whose tests open no database through the driver unless
// the variable is set in the environment.
var opensNone = map[string]string{
	"vfs/tests": "SQLITE3_TEST_WAL_STRESS",
}
