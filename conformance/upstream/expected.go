package main

// A difference is a test of ncruces' that passes over the plain driver, and
// does not over sqlitemw, on purpose.
type difference struct {
	pkg    string // directory in the module
	test   string
	reason string
}

var expected = []difference{{
	pkg: "driver", test: "Test_Open_pragma_invalid",
	reason: "a pragma that cannot be one is refused when the DSN is read, not when a connection is opened",
}, {
	pkg: "driver", test: "Test_Open_txLock_invalid",
	reason: "an unknown _txlock is refused in other words, with those that are known",
}}

// opensNone are packages whose tests open no database through the driver unless
// the variable is set in the environment.
var opensNone = map[string]string{
	"vfs/tests": "SQLITE3_TEST_WAL_STRESS",
}
