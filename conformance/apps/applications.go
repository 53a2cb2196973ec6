package main

// An application is a Go module whose tests use SQLite.
type application struct {
	name   string
	module module
	driver engine
	suites []suite
	bridge bridge
}

type module struct{ path, version string }

func (m module) String() string { return m.path + "@" + m.version }

// An engine is a driver that applications use.
type engine struct {
	path       string // of its package
	name       string // of the driver, in sql.Open
	ours, pool string // the names of sqlitemw's drivers that replace it
}

var (
	mattn = engine{
		path: "github.com/mattn/go-sqlite3",
		name: "sqlite3",
		ours: "sqlitemw-mattn",
		pool: "sqlitemw-pool-mattn",
	}
	modernc = engine{
		path: "modernc.org/sqlite",
		name: "sqlite",
		ours: "sqlitemw-modernc",
		pool: "sqlitemw-pool-modernc",
	}
)

// A suite is one run of go test.
type suite struct {
	module   module // of the tests, if it is not the application's own
	setup    []edit // the edits that the application's scripts make in that module
	packages []string
	tags     string
	args     []string // of go test
	env      []string
}

// A bridge is what an application needs in addition to the name of its driver: edits, and the
// files of testdata/NAME/VARIANT, which replace its own. The files of testdata/NAME/all are
// copied for every driver, including its own. They are tests of what the bridge is for, if no
// test of the application covers it.
type bridge struct {
	edits []edit
	// linked is the reason why the other driver stays linked. Both mattn's and ncruces'
	// register the name "sqlite3", so the latter is then linked under another name.
	linked string
}

var applications = []application{goqite, kine, openfga, pocketbase}

var goqite = application{
	name:   "goqite",
	module: module{"maragu.dev/goqite", "v0.4.0"},
	driver: mattn,
	suites: []suite{{
		packages: []string{"./..."},
		// These wait forever for a PostgreSQL. The pattern with more elements must be
		// last, because a pattern that matches a part of a name ends the search.
		args: []string{"-skip=/does_not_receive_a_message_from_a_different_queue|/.*/postgresql"},
	}},
}

var kine = application{
	name:   "kine",
	module: module{"github.com/k3s-io/kine", "v0.17.5"},
	driver: mattn,
	suites: []suite{{
		packages: []string{"./pkg/drivers/sqlite"},
	}, {
		// The tests of Kubernetes' storage on kine, which kine's scripts/test-helpers
		// runs, with the edits that it makes.
		module: module{"k8s.io/apiserver", "v0.37.0"},
		setup: []edit{
			kineServer("pkg/storage/etcd3/compact_test.go"),
			kineServer("pkg/storage/etcd3/store_test.go"),
			kineServer("pkg/storage/etcd3/watcher_test.go"),
			kineServer("pkg/storage/etcd3/testing/test_server.go"),
			{
				file: "pkg/storage/etcd3/watcher_test.go",
				old:  "NewTooLargeResourceVersionError(uint64(102), 1, 0)",
				new:  "NewTooLargeResourceVersionError(uint64(102), 2, 0)",
			}, {
				file: "pkg/storage/etcd3/compact_test.go",
				old:  "waitTimeout = 100 * waitDelay",
				new:  "waitTimeout = 500 * waitDelay",
			},
		},
		packages: []string{"./pkg/storage/etcd3/..."},
		tags:     "nats,kine_split_driver",
		args:     []string{"-p=1", "-parallel=1"},
		env:      []string{"KINE_ENDPOINT=sqlite://"},
	}},
	bridge: bridge{
		edits: []edit{{
			file: "pkg/drivers/sqlite/sqlite_cgo.go",
			old:  "driver: driver}, nil",
			new:  "driver: sqlitemw}, nil",
			why:  "kine opens no driver by name, but makes one of mattn's type",
		}},
		linked: "kine asserts errors of the type sqlite3.Error, which MapError makes",
	},
}

func kineServer(file string) edit {
	return edit{file: file, old: "k8s.io/apiserver/pkg/storage/etcd3/testserver", new: "github.com/k3s-io/kine/pkg/testserver"}
}

var openfga = application{
	name:   "openfga",
	module: module{"github.com/openfga/openfga", "v1.22.1"},
	driver: modernc,
	suites: []suite{{
		packages: []string{"./pkg/storage/sqlite"},
	}, {
		// Of the others, only those of SQLite.
		packages: []string{"./pkg/storage/migrate", "./pkg/server", "./tests/check", "./tests/listobjects", "./tests/listusers", "./cmd/run"},
		args:     []string{"-run=SQLite|TestServerContext_datastoreConfig|TestMigrateCommandRollbacks/sqlite|TestServerMetricsReporting/sqlite"},
	}},
	bridge: bridge{edits: []edit{{
		file: "pkg/storage/sqlite/sqlite.go",
		old:  `"modernc.org/sqlite"`,
		new:  `_ "github.com/sqlitemw/sqlitemw/driver"`,
		why:  "the import is not blank, because the package uses modernc's error type",
	}, {
		file:  "pkg/storage/sqlite/sqlite.go",
		old:   "*sqlite.Error",
		new:   "sqliteError",
		times: 2,
		why:   "modernc's error type cannot be used without its driver; our errors have the method that is used",
	}}},
}

var pocketbase = application{
	name:   "pocketbase",
	module: module{"github.com/pocketbase/pocketbase", "v0.36.8"}, // the newest for Go 1.26
	driver: modernc,
	suites: []suite{{packages: []string{"./..."}}},
}
