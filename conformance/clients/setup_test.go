package clients

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A setup is a way to open a database.
type setup struct {
	name   string
	driver string // the name that clients get
	open   func(dsn string) (*sql.DB, error)
	params string // additional parameters of the DSN

	// close, if not nil, closes what db.Close leaves open. With leaks, it also takes away
	// the connections that the program leaks.
	close func(db *sql.DB, leaks bool) error

	// check, if not nil, checks what is left after the database is closed.
	check func(t *testing.T, a *app)
}

var (
	plain = setup{name: "plain", driver: "sqlite3", open: byName("sqlite3")}

	// untraced is the setup of a program without an OpenTelemetry SDK.
	untraced = setup{name: "untraced", driver: driver.Name, open: byName(driver.Name)}

	// withoutCache prepares every statement again. withSmallCache evicts statements all the
	// time.
	withoutCache   = byConfig("without statement cache", driver.Config{StatementCache: -1})
	withSmallCache = byConfig("with a small statement cache", driver.Config{StatementCache: 2})

	// plainAsPooled is the plain driver with the default settings of a pool.
	plainAsPooled = setup{name: "plain, with a pool's settings", driver: "sqlite3", open: byName("sqlite3"),
		params: "&_pragma=foreign_keys(1)"}

	// pooledByName is the setup of a program that changes only the name.
	pooledByName = setup{name: "pooled by name", driver: pool.Name, open: byName(pool.Name)}

	// pooled is a pool that the program opens itself.
	pooled = byPool("pooled", pool.Config{})
)

func byPool(name string, cfg pool.Config) setup {
	cfg.Logger = slog.New(slog.DiscardHandler)
	s := setup{name: name, driver: pool.Name}
	s.open = func(dsn string) (*sql.DB, error) {
		cfg := cfg
		cfg.Path = dsn
		p, err := pool.Open(context.Background(), cfg)
		if err != nil {
			return nil, err
		}
		return p.DB(), nil
	}
	s.close = func(db *sql.DB, leaks bool) error {
		patience := time.Minute
		if leaks {
			patience = time.Second // Shutdown would wait in vain
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return pool.Of(db).Shutdown(ctx)
	}
	return s
}

func byName(name string) func(string) (*sql.DB, error) {
	return func(dsn string) (*sql.DB, error) { return sql.Open(name, dsn) }
}

func byConfig(name string, cfg driver.Config) setup {
	return setup{name: name, driver: driver.Name, open: func(dsn string) (*sql.DB, error) {
		c, err := driver.NewConnector(dsn, cfg)
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(c), nil
	}}
}

// transcript runs p on a new database, and fails the test if p stops.
func (s setup) transcript(t *testing.T, p program) string {
	t.Helper()
	text, why := s.run(t, p)
	if why != "" {
		t.Fatalf("%s: stopped at %s\n%s", s.name, why, text)
	}
	return text
}

// run runs p on a new database, in its own directory, so that the texts of errors that name the
// file are always the same.
func (s setup) run(t *testing.T, p program) (text, why string) {
	t.Helper()
	t.Chdir(t.TempDir())
	dsn := "file:app.db?_pragma=busy_timeout(120000)&_pragma=journal_mode(wal)" + s.params
	db, err := s.open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{db: db, driver: s.driver, dsn: dsn}
	why = a.run(p)
	if n := settledInUse(db, a.leaks); n != a.leaks && why == "" {
		t.Errorf("%s: %d connections in use at the end, want %d", s.name, n, a.leaks)
	}
	err = db.Close()
	if s.close != nil {
		err = errors.Join(err, s.close(db, a.leaks > 0))
	}
	// A pool reports connections that it had to take away.
	if _, ok := errors.AsType[*pool.ShutdownError](err); err != nil && ok != (a.leaks > 0) {
		t.Errorf("%s: close: %v", s.name, err)
	}
	if s.check != nil {
		s.check(t, a)
	}
	return a.transcript.String(), why
}

// settledInUse waits until db has no more than want connections in use, for up to two minutes,
// and returns the number in use. A transaction whose context has ended is rolled back by a
// goroutine of database/sql, which returns the connection after the program's calls have
// returned.
func settledInUse(db *sql.DB, want int) int {
	n := db.Stats().InUse
	for deadline := time.Now().Add(2 * time.Minute); n > want && time.Now().Before(deadline); n = db.Stats().InUse {
		time.Sleep(time.Millisecond)
	}
	return n
}
