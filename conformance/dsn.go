package conformance

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dsnCases check DSNs.
func dsnCases() []Case {
	return append(nameCases(), append(modeCases(), memoryCases()...)...)
}

// seeUse records whether a database can be written and read.
func seeUse(s *Session, db *sql.DB) {
	db.SetMaxOpenConns(1)
	s.SeeExec(db, "CREATE TABLE IF NOT EXISTS t(a)")
	s.SeeExec(db, "INSERT INTO t VALUES (?)", 1)
	s.SeeQuery(db, "SELECT count(*) FROM t")
}

// seeFiles records which files are in the session's directory.
func seeFiles(s *Session) {
	entries, err := os.ReadDir(s.dir)
	s.Must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	s.See("files", names)
}

// nameCases check the names of files.
func nameCases() []Case {
	var cases []Case
	for _, c := range []struct{ what, name string }{
		{"space", "a name.db"},
		{"question mark", "a?b=c.db"},
		{"number sign", "a#b.db"},
		{"per cent", "a%20b.db"},
		{"ampersand", "a&b=c;d.db"},
		{"plus", "a+b.db"},
		{"colon", "a:b.db"},
		{"unicode", "größe-数据.db"},
		{"quotes", `a'b"c.db`},
	} {
		cases = append(cases, Case{
			Name: "name with " + c.what,
			Rule: "A URI names the file that its unescaped path gives.",
			Play: func(s *Session) {
				uri := "file:" + (&url.URL{Path: filepath.ToSlash(s.File(c.name))}).EscapedPath()
				seeUse(s, s.OpenDSN(uri))
				seeUse(s, s.OpenDSN(uri))
				seeFiles(s)
			},
		})
	}
	for _, name := range []string{"plain.db", "a name.db", "a%20b.db", "a#b.db", "größe-数据.db"} {
		cases = append(cases, Case{
			Name: "plain " + name,
			Rule: "A name that is not a URI is the file's own name. Nothing in it is an escape.",
			Play: func(s *Session) {
				seeUse(s, s.OpenDSN(s.File(name)))
				seeFiles(s)
			},
		})
	}
	return append(cases, []Case{
		{
			Name: "relative",
			Rule: "A relative name is relative to the working directory, as a URI or not.",
			Play: func(s *Session) {
				wd, err := os.Getwd()
				s.Must(err)
				rel, err := filepath.Rel(wd, s.File("relative.db"))
				s.Must(err)
				seeUse(s, s.OpenDSN(rel))
				seeUse(s, s.OpenDSN("file:"+filepath.ToSlash(rel)))
				seeFiles(s)
			},
		},
		{
			Name: "fragment",
			Rule: "The fragment of a URI (after #) is not part of the name.",
			Play: func(s *Session) {
				seeUse(s, s.OpenDSN("file:"+filepath.ToSlash(s.File("a.db"))+"#fragment"))
				seeFiles(s)
			},
		},
		{
			Name: "localhost",
			Rule: "The host of a URI may be localhost.",
			Play: func(s *Session) {
				seeUse(s, s.OpenDSN("file://localhost"+filepath.ToSlash(s.File("a.db"))))
				seeUse(s, s.OpenDSN("file://"+filepath.ToSlash(s.File("a.db"))))
				seeFiles(s)
			},
		},
		{
			Name: "foreign parameter",
			Rule: "A parameter that SQLite does not know is ignored.",
			Play: func(s *Session) {
				seeUse(s, s.OpenDSN("file:"+filepath.ToSlash(s.File("a.db"))+"?nothing=of+the+kind"))
				seeFiles(s)
			},
		},
		{
			Name: "attached URI",
			Rule: "Files can be attached by URI, too, with parameters of their own.",
			Play: func(s *Session) {
				s.Exec(s.Open(s.File("other.db"), Settings{}), "CREATE TABLE t(a)")
				conn := s.Conn(s.DB)
				defer conn.Close()
				// The name differs in each session.
				_, err := s.ExecContext(background, conn, "ATTACH 'file:"+filepath.ToSlash(s.File("other.db"))+"?mode=ro' AS other")
				s.See("attach", err)
				_, err = s.ExecContext(background, conn, "INSERT INTO other.t VALUES (?)", 1)
				s.See("insert", err)
			},
		},
		{
			Name: "open does not",
			Rule: "Opening a database opens no file; the first use does.",
			Play: func(s *Session) {
				db := s.OpenDSN("file:" + filepath.ToSlash(s.File("a.db")))
				seeFiles(s)
				s.See("open", db.Stats().OpenConnections)
				conn := s.Conn(db)
				seeFiles(s)
				s.See("close", conn.Close())
			},
		},
		{
			Name: "bad escape",
			Rule: "A malformed URI is refused, when it is opened or at its first use.",
			Play: func(s *Session) {
				for _, name := range []string{"%zz.db", "a.db?x=%zz"} {
					db, err := s.TryOpen("file:" + filepath.ToSlash(s.File(name)))
					s.See("open", err != nil)
					if err == nil {
						s.See("ping", db.Ping() != nil)
					}
				}
				seeFiles(s)
			},
		},
	}...)
}

// modeCases check SQLite's own parameters.
func modeCases() []Case {
	with := func(s *Session, name, params string) *sql.DB {
		return s.OpenDSN("file:" + filepath.ToSlash(s.File(name)) + "?" + params)
	}
	existing := func(s *Session) {
		db := s.Open(s.File("existing.db"), Settings{})
		s.Exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
		s.Must(db.Close())
	}
	// use records what can be done. It omits the text of an error that may name the file,
	// because that name differs in each session.
	use := func(s *Session, db *sql.DB) {
		db.SetMaxOpenConns(1)
		_, err := s.ExecContext(background, db, "INSERT INTO t VALUES (?)", 2)
		s.See("write", err == nil)
		var n int
		err = db.QueryRow("SELECT count(*) FROM t").Scan(&n)
		s.See("read", err == nil, n)
	}
	var cases []Case
	for _, mode := range []string{"ro", "rw", "rwc", "memory"} {
		cases = append(cases, Case{
			Name: "mode=" + mode + ", existing",
			Rule: "A database that exists is opened in the requested mode.",
			Play: func(s *Session) {
				existing(s)
				use(s, with(s, "existing.db", "mode="+mode))
				use(s, with(s, "existing.db", "mode=ro"))
			},
		}, Case{
			Name: "mode=" + mode + ", missing",
			Rule: "A database that does not exist is created only if its mode says so.",
			Play: func(s *Session) {
				db := with(s, "missing.db", "mode="+mode)
				db.SetMaxOpenConns(1)
				_, err := s.ExecContext(background, db, "CREATE TABLE t(a)")
				s.See("create", err == nil)
				use(s, db)
				seeFiles(s)
			},
		})
	}
	return append(cases, []Case{
		{
			Name: "mode that is none",
			Rule: "An unknown mode is an error.",
			Play: func(s *Session) {
				existing(s)
				db, err := s.TryOpen("file:" + filepath.ToSlash(s.File("existing.db")) + "?mode=none")
				if err == nil {
					_, err = db.Conn(background)
				}
				s.See("fails", err != nil)
			},
		},
		{
			Name: "immutable",
			Rule: "An immutable database is read without locks, and not written.",
			Play: func(s *Session) {
				existing(s)
				writer := s.Open(s.File("existing.db"), Settings{})
				tx, err := writer.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelLinearizable})
				s.Must(err)
				use(s, with(s, "existing.db", "immutable=1"))
				s.See("rollback", tx.Rollback())
			},
		},
		{
			Name: "several parameters",
			Rule: "All parameters of a URI apply, in any order.",
			Play: func(s *Session) {
				existing(s)
				path := s.File("existing.db")
				for _, params := range [][]string{{"mode=ro", "immutable=1"}, {"psow=0", "mode=rw"}} {
					db := s.OpenDSN(s.DSN(path, Settings{Params: params, Pragmas: []string{"cache_size(-77)"}}))
					use(s, db)
					s.SeeQuery(db, "PRAGMA cache_size")
				}
			},
		},
		{
			Name: "immutable, to be written",
			Rule: "An immutable database that is opened for writing can be read, unless the wrapper refuses this combination.",
			Play: func(s *Session) {
				existing(s)
				use(s, with(s, "existing.db", "immutable=1&mode=rw"))
			},
		},
		{
			Name: "no such VFS",
			Rule: "A VFS that does not exist cannot be used.",
			Play: func(s *Session) {
				db, err := s.TryOpen("file:" + filepath.ToSlash(s.File("a.db")) + "?vfs=none")
				if err == nil {
					_, err = db.Conn(background)
				}
				s.See("fails", err != nil)
			},
		},
	}...)
}

// memoryCases check in-memory databases.
func memoryCases() []Case {
	var cases []Case
	for _, dsn := range []string{":memory:", "file::memory:", "", "file:", "file:name?mode=memory"} {
		cases = append(cases, Case{
			Name: "memory " + strings.ReplaceAll(dsn, "?", " "),
			Rule: "An in-memory database is private to its connection, and vanishes with it.",
			Play: func(s *Session) {
				db := s.OpenDSN(dsn)
				first, second := s.Conn(db), s.Conn(db)
				s.SeeExec(first, "CREATE TABLE t(a)")
				s.SeeExec(first, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(first, "SELECT a FROM t")
				s.SeeQuery(second, "SELECT a FROM t")
				s.SeeQuery(first, "PRAGMA journal_mode")
				s.See("close", first.Close(), second.Close())
				db.SetMaxIdleConns(0)
				db.SetMaxIdleConns(2)
				s.SeeQuery(db, "SELECT a FROM t")
				seeFiles(s)
			},
		})
	}
	return append(cases, Case{
		Name: "memory, one connection",
		Rule: "An in-memory database lasts as long as its only connection is kept.",
		Play: func(s *Session) {
			db := s.OpenDSN(":memory:")
			db.SetMaxOpenConns(1)
			s.SeeExec(db, "CREATE TABLE t(a)")
			tx := s.Begin(db)
			s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
			s.See("rollback", tx.Rollback())
			s.SeeExec(db, "INSERT INTO t VALUES (?)", 2)
			s.SeeQuery(db, "SELECT a FROM t")
		},
	})
}
