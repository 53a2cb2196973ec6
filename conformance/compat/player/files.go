package player

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// writers are the contents that a driver writes into the files that others read. Each writes
// one file.
var writers = []struct {
	name   string
	params string
	write  func(db execer)
}{
	{"values", "", writeValues},
	{"times", "", writeTimes},
	{"times-sqlite", "_time_format=sqlite", writeTimes},
	{"times-integer", "_time_integer_format=unix_milli", writeTimes},
	{"times-zone", "_loc=America/New_York&_timezone=America/New_York", writeTimes},
	{"wal", "_journal_mode=WAL", writeValues},
	{"vacuum", "_auto_vacuum=2", writeValues},
	{"schema", "", writeSchema},
}

// Write writes a file for each of writers into dir.
func (s Setup) Write(dir string) error {
	if err := setLocal(); err != nil {
		return err
	}
	for _, w := range writers {
		o, err := s.playOne(Program{"write/" + w.name, both, func(e *env) {
			db := e.open("file:" + filepath.Join(dir, w.name+".db") + question(w.params))
			db.SetMaxOpenConns(1)
			w.write(db)
			must(db.Close())
		}}, filepath.Join(s.Dir, "w"+w.name))
		if err != nil {
			return err
		}
		if len(o.Lines) > 0 {
			return fmt.Errorf("%s: %s: %v", s.Driver, w.name, o.Lines)
		}
	}
	return nil
}

func writeValues(db execer) {
	exec(db, "CREATE TABLE v(id INTEGER PRIMARY KEY, n, i INTEGER, r REAL, t TEXT, b BLOB, o BOOLEAN, d DATETIME)")
	for _, v := range []any{nil, true, false, 0, 1, -7, 1 << 60, 1.5, 2.0, 1e300, "", "text", "12", "ä\x00b", "2026-05-01 12:00:00", []byte{}, []byte{0, 1}, []byte("text")} {
		if _, err := db.ExecContext(ctx, "INSERT INTO v(n, i, r, t, b, o, d) VALUES (?, ?, ?, ?, ?, ?, ?)", v, v, v, v, v, v, v); err != nil {
			stopf("%v: %v", v, err)
		}
	}
	exec(db, "CREATE TABLE dates(at DATETIME)", "INSERT INTO dates VALUES ('2026-05-01')")
}

func writeTimes(db execer) {
	exec(db, "CREATE TABLE dates(id INTEGER PRIMARY KEY, at DATETIME, day DATE, stamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, text TEXT, any_)", "CREATE INDEX i ON dates(at)")
	all := instants()
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := all[name]
		if _, err := db.ExecContext(ctx, "INSERT INTO dates(at, day, stamp, text, any_) VALUES (?, ?, ?, ?, ?)", at, at, at, at, at); err != nil {
			// No integer holds the nanoseconds of some times, and no text holds the clock
			// reading of others.
			stopf("%s: %v", name, err)
		}
	}
	exec(db, "CREATE TABLE v(a)")
}

func writeSchema(db execer) {
	exec(db, "CREATE TABLE v(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT NOT NULL DEFAULT \"a\", b GENERATED ALWAYS AS (a || 'b') STORED, UNIQUE(a) ON CONFLICT REPLACE)",
		"CREATE TABLE c(v INTEGER REFERENCES v(id) ON DELETE CASCADE) STRICT", "CREATE INDEX i ON v(lower(a)) WHERE a <> ''",
		"CREATE VIEW w AS SELECT a, count(*) AS n FROM v GROUP BY a", "CREATE TRIGGER r AFTER INSERT ON v BEGIN UPDATE v SET a = a || '!' WHERE id = new.id; END",
		"INSERT INTO v(a) VALUES ('x'), ('y')", "CREATE TABLE dates(at DATETIME DEFAULT CURRENT_TIMESTAMP)", "INSERT INTO dates VALUES ('2026-05-01 10:00:00')", "ANALYZE", "PRAGMA user_version = 77")
}

// readPrograms returns a program for each file below dir, which has a directory for each
// driver. Each program reads the file as a driver has left it, and continues to write.
func readPrograms(dir string) ([]Program, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.db"))
	if err != nil {
		return nil, err
	}
	var programs []Program
	for _, name := range names {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return nil, err
		}
		programs = append(programs, Program{"files/" + filepath.ToSlash(strings.TrimSuffix(rel, ".db")), both, func(e *env) { readFile(e, name) }})
	}
	return programs, nil
}

// readFile reads a copy of a file, writes more and reads it again.
func readFile(e *env, path string) {
	content, err := os.ReadFile(path)
	must(err)
	e.write("a.db", content)
	db := e.file("")
	db.SetMaxOpenConns(1)
	e.rows("journal", db, "PRAGMA journal_mode")
	e.rows("vacuum", db, "PRAGMA auto_vacuum")
	e.rows("version", db, "PRAGMA user_version")
	e.rows("integrity", db, "PRAGMA integrity_check")
	// The results of ANALYZE differ between builds, and a pool analyzes the databases that
	// it closes.
	e.rows("schema", db, "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY rowid")
	tables := []string{"v", "dates"}
	columns := map[string][]string{}
	for _, table := range tables {
		rows, err := db.Query("SELECT * FROM " + table)
		must(err)
		columns[table], err = rows.Columns()
		must(err)
		e.columnTypes(table, rows)
		for _, row := range e.read(rows) {
			e.record(table+" row", "%s", row)
		}
		for _, c := range columns[table] {
			e.rows(table+"."+c, db, fmt.Sprintf("SELECT typeof(%s), hex(%s) FROM %s", c, strippedClock(c), table))
		}
	}
	types := []reflect.Type{timeType, nullTimeType, stringType}
	for _, c := range columns["dates"] {
		e.into("a date "+c, types, db, "SELECT "+c+" FROM dates WHERE rowid = 2")
	}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	e.rows("before", db, "SELECT rowid FROM dates WHERE at < ? ORDER BY rowid", at)
	e.rows("at", db, "SELECT rowid FROM dates WHERE at = ? ORDER BY rowid", at)
	_, err = db.Exec("INSERT INTO dates(at) VALUES (?)", at.Add(time.Hour))
	e.err("write", err)
	e.rows("order", db, "SELECT rowid FROM dates ORDER BY at, rowid")
	e.rows("latest", db, "SELECT max(at) FROM dates")
	_, err = db.Exec("DELETE FROM v")
	e.err("delete", err)
	e.err("close", db.Close())
}

// strippedClock returns an expression for a column without the monotonic clock reading at its
// end.
func strippedClock(c string) string {
	return fmt.Sprintf("CASE WHEN typeof(%[1]s) = 'text' AND instr(%[1]s, 'm=') THEN substr(%[1]s, 1, instr(%[1]s, 'm=')) ELSE %[1]s END", c)
}
