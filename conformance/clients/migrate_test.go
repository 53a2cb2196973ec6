package clients

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

var migrateSource = fstest.MapFS{
	"1_pets.up.sql": {Data: []byte(`CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, born DATE);
INSERT INTO pet (name, born) VALUES ('Rex', '2020-01-02'), ('semi;colon', NULL); -- two of them
/* and a table of their owners */ CREATE TABLE owner (id INTEGER PRIMARY KEY, pet_id REFERENCES pet);`)},
	"1_pets.down.sql":   {Data: []byte("DROP TABLE owner; DROP TABLE pet;")},
	"2_weight.up.sql":   {Data: []byte("ALTER TABLE pet ADD COLUMN weight REAL DEFAULT 1.5; CREATE VIEW heavy AS SELECT * FROM pet WHERE weight > 1;")},
	"2_weight.down.sql": {Data: []byte("DROP VIEW heavy; ALTER TABLE pet DROP COLUMN weight;")},
	"3_rename.up.sql":   {Data: []byte("ALTER TABLE owner RENAME TO keeper; ALTER TABLE keeper RENAME COLUMN pet_id TO animal;")},
	"3_rename.down.sql": {Data: []byte("ALTER TABLE keeper RENAME COLUMN animal TO pet_id; ALTER TABLE keeper RENAME TO owner;")},
	"4_fails.up.sql":    {Data: []byte("INSERT INTO pet (name) VALUES ('Half'); INSERT INTO pet (name) VALUES ('Rex');")},
	"4_fails.down.sql":  {Data: []byte("DELETE FROM pet WHERE name = 'Half';")},
}

func migrateProgram(a *app) {
	db, err := sqlite.WithInstance(a.db, &sqlite.Config{DatabaseName: "app"})
	a.ok(err)
	m := newMigrate(a, db)

	a.chapter("empty")
	_, _, err = m.Version()
	a.fails("version", err)
	a.fails("down", m.Steps(-1))
	migrateState(a)

	a.chapter("up")
	a.see("one", m.Steps(1))
	migrateState(a)
	a.see("to 3", m.Migrate(3))
	migrateState(a)
	a.fails("no change", m.Migrate(3))
	err = m.Up()
	a.fails("up", err)
	if failed, ok := errors.AsType[database.Error](err); ok {
		a.see("database's error", failed.Line, string(failed.Query), failed.Err, failed.OrigErr)
	}
	version, dirty, err := m.Version()
	a.see("version", version, dirty, err)
	migrateState(a)
	a.fails("dirty", m.Up())
	a.fails("dirty", m.Steps(-1))
	a.see("force", m.Force(3))
	a.fails("no such version", m.Migrate(77))

	a.chapter("locks")
	a.see("lock", db.Lock(), db.Lock(), db.Unlock(), db.Unlock())
	a.see("run", db.Run(strings.NewReader("INSERT INTO pet (name) VALUES ('By hand')")))
	a.fails("run", db.Run(strings.NewReader("INSERT INTO pet (name) VALUES ('Rolled back'); SELEC")))
	a.see("set version", db.SetVersion(2, true))
	a.see("set version", db.SetVersion(database.NilVersion, false))
	a.see("set version", db.SetVersion(3, false))
	migrateState(a)

	a.chapter("another instance")
	other, err := sqlite.WithInstance(a.db, &sqlite.Config{DatabaseName: "app", MigrationsTable: "others", NoTxWrap: true})
	a.ok(err)
	a.fails("tables exist", newMigrate(a, other).Up())
	a.see("in its own transaction", other.Run(strings.NewReader("BEGIN; INSERT INTO pet (name) VALUES ('Own'); COMMIT;")))
	v, dirty, err := other.Version()
	a.see("version", v, dirty, err)
	migrateState(a)

	a.chapter("down")
	a.see("one", m.Steps(-1))
	migrateState(a)
	a.see("down", m.Down())
	migrateState(a)
	a.see("up again", m.Migrate(2))
	migrateState(a)
	a.see("drop", m.Drop())
	// Drop queries "VACUUM", and does not close the rows.
	a.leaks++
	migrateState(a)
}

func newMigrate(a *app, db database.Driver) *migrate.Migrate {
	source, err := iofs.New(migrateSource, ".")
	a.ok(err)
	first, err := source.First()
	a.see("first", first, err)
	_, _, err = source.ReadUp(99)
	a.see("no such source", errors.Is(err, fs.ErrNotExist))
	r, name, err := source.ReadUp(1)
	a.ok(err)
	text, err := io.ReadAll(r)
	a.see("source", name, len(text), err, r.Close())
	m, err := migrate.NewWithInstance("iofs", source, "sqlite", db)
	a.ok(err)
	return m
}

func migrateState(a *app) {
	rows, err := a.db.Query("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
	a.rows("schema", rows, err)
	for _, table := range []string{"pet", "owner", "keeper", "heavy", "schema_migrations", "others"} {
		rows, err := a.db.Query("SELECT * FROM " + table)
		a.rows(table, rows, err)
	}
}
