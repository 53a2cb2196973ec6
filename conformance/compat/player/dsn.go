package player

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dsnPrograms returns a program for each DSN. It records the effects of the DSN on the
// connection and on the directory.
func dsnPrograms() []Program {
	var programs []Program
	for _, dsn := range dsns() {
		programs = append(programs, Program{"dsn/" + strconv.Quote(dsn), both, func(e *env) { playDSN(e, dsn) }})
	}
	return programs
}

// pragmas are the settings that a DSN can change. defer_foreign_keys comes
// first, because the end of a transaction resets it.
var pragmas = []string{
	"defer_foreign_keys", "busy_timeout", "journal_mode", "synchronous", "foreign_keys", "cache_size",
	"auto_vacuum", "locking_mode", "query_only", "recursive_triggers", "secure_delete", "temp_store",
	"mmap_size", "wal_autocheckpoint", "journal_size_limit", "ignore_check_constraints", "writable_schema",
	"read_uncommitted", "trusted_schema", "user_version", "encoding", "page_size",
}

// The files of the directory: old holds a database, and empty is empty; no does not exist.
const (
	old     = "old.db"
	empty   = "empty.db"
	garbled = "garbled.db"
)

// playDSN opens a DSN in a directory with a few files.
func playDSN(e *env, dsn string) {
	e.write(old, e.template())
	e.write(empty, nil)
	e.write(garbled, garbage)
	must(os.Mkdir("sub", 0o755))

	db, err := e.tryOpen(dsn)
	e.record("open", "%s", ok(err))
	if err != nil {
		e.files()
		return
	}
	conn := e.conn(db)
	for _, pragma := range pragmas {
		e.record(pragma, "%s", e.one(conn, "PRAGMA "+pragma))
	}
	main := mainFile(conn)
	e.record("file", "%q", main)
	e.record("LIKE", "%s", e.one(conn, "SELECT 'a' LIKE 'A'"))
	e.record("double quotes", "%s", e.one(conn, `SELECT "no such column"`))
	_, err = conn.ExecContext(ctx, `CREATE TABLE made(a CHECK (a <> "no such column"))`)
	e.record("double quotes in DDL", "%s", ok(err))
	e.record("old table", "%s", e.one(conn, "SELECT count(*) FROM old"))
	_, err = conn.ExecContext(ctx, "CREATE TABLE new(a)")
	e.record("write", "%s", ok(err))
	_, err = conn.ExecContext(ctx, "PRAGMA writable_schema = ON")
	e.record("writable_schema on", "%s, then %s", ok(err), e.one(conn, "PRAGMA writable_schema"))

	locking := e.one(conn, "PRAGMA locking_mode")
	tx, err := conn.BeginTx(ctx, nil)
	e.record("begin", "%s", ok(err))
	if err == nil {
		if main != "" {
			e.record("lock", "%s", e.lock(main))
		}
		must(tx.Rollback())
	}
	if locking == `string "normal"` {
		// From here on, others can use the writer's lane of a pool.
		must(conn.Close())
		second, err := e.tryOpen(dsn)
		e.record("second open", "%s", ok(err))
		if err == nil {
			e.record("second sees", "%s", e.one(second, "SELECT count(*) FROM sqlite_schema WHERE name = 'new'"))
			e.record("close second", "%s", ok(second.Close()))
		}
	} else {
		must(conn.Close())
	}
	e.record("close", "%s", ok(db.Close()))
	e.files()
}

// mainFile returns the file of the main database, or "" if there is none. An in-memory database
// may nevertheless have a name.
func mainFile(db execer) string {
	var seq int
	var name, file string
	must(db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&seq, &name, &file))
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return file
}

// lock returns the lock that others see on a file.
func (e *env) lock(path string) string {
	db, err := e.openPlain(path)
	if err != nil {
		return "exclusive"
	}
	defer db.Close()
	conn := e.conn(db)
	defer conn.Close()
	var n int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return "exclusive"
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return "write"
	}
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err.Error()
	}
	return "none"
}

// files records the non-empty files of the directory, and the others.
func (e *env) files() {
	var names []string
	must(filepath.WalkDir(e.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == e.dir {
			return err
		}
		name, err := filepath.Rel(e.dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			name += "/"
		case info.Size() == 0:
			name += " (empty)"
		}
		names = append(names, strconv.Quote(name))
		return nil
	}))
	e.record("files", "%s", strings.Join(names, " "))
}

// template returns a database with a table. The plain driver writes it once per process.
func (e *env) template() []byte {
	path := filepath.Join(e.Dir, "template.db")
	b, err := os.ReadFile(path)
	if err == nil {
		return b
	}
	db, err := e.openPlain(path)
	must(err)
	exec(db, "CREATE TABLE old(a)", "INSERT INTO old VALUES (1), (2)")
	must(db.Close())
	b, err = os.ReadFile(path)
	must(err)
	return b
}
