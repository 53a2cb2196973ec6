package conformance

import (
	"database/sql"
	"strings"
)

// pragmasCases check settings of the DSN and of the program.
func pragmasCases() []Case {
	return append(settingCases(), []Case{
		{
			Name:     "every connection",
			Rule:     "The settings of a database apply to each of its connections.",
			Settings: Settings{Pragmas: []string{"busy_timeout(777)", "cache_size(-555)", "recursive_triggers(1)"}},
			Play: func(s *Session) {
				var held []*sql.Conn
				for range 4 {
					held = append(held, s.Conn(s.DB))
				}
				for _, conn := range held {
					s.SeeQuery(conn, "SELECT timeout, cache_size, recursive_triggers FROM pragma_busy_timeout, pragma_cache_size, pragma_recursive_triggers")
					s.See("close", conn.Close())
				}
			},
		},
		{
			Name:     "foreign keys on",
			Rule:     "Foreign keys are enforced if the settings say so.",
			Settings: Settings{Pragmas: []string{"foreign_keys(1)"}},
			Play:     orphan,
		},
		{
			Name:     "foreign keys off",
			Rule:     "Foreign keys are not enforced if the settings say so.",
			Settings: Settings{Pragmas: []string{"foreign_keys(0)"}},
			Play:     orphan,
		},
		{
			Name: "foreign keys unsaid",
			Rule: "Without a setting, the engine decides whether foreign keys are enforced.",
			Play: orphan,
		},
		{
			Name: "none",
			Rule: "Without settings, the driver's defaults apply.",
			Play: func(s *Session) {
				for _, name := range strings.Fields(`auto_vacuum automatic_index busy_timeout cache_size cache_spill
					cell_size_check encoding foreign_keys ignore_check_constraints journal_mode journal_size_limit
					legacy_alter_table locking_mode max_page_count page_size query_only read_uncommitted recursive_triggers
					reverse_unordered_selects secure_delete synchronous temp_store trusted_schema wal_autocheckpoint writable_schema`) {
					s.SeeQuery(s.DB, "PRAGMA "+name)
				}
			},
		},
		{
			Name:     "one",
			Rule:     "If there is one setting, the driver chooses the others. They may differ from those without any setting.",
			Settings: Settings{Pragmas: []string{"cache_size(-555)"}},
			Play: func(s *Session) {
				for _, name := range []string{"busy_timeout", "foreign_keys", "journal_mode", "synchronous"} {
					s.SeeQuery(s.DB, "PRAGMA "+name)
				}
			},
		},
		{
			Name:     "write-ahead log",
			Rule:     "A file in WAL mode stays in it for connections that do not set it.",
			Settings: Settings{Pragmas: []string{"busy_timeout(1000)", "journal_mode(wal)"}},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.See("close", s.DB.Close())
				again := s.Open(s.File("test.db"), Settings{})
				s.SeeQuery(again, "PRAGMA journal_mode")
				s.SeeExec(again, "INSERT INTO t VALUES (?)", 1)
			},
		},
		{
			Name:     "twice",
			Rule:     "If a setting occurs twice, the last one applies.",
			Settings: Settings{Pragmas: []string{"cache_size(-111)", "busy_timeout(7)", "cache_size(-222)"}},
			Play:     func(s *Session) { s.SeeQuery(s.DB, "PRAGMA cache_size") },
		},
		{
			Name:     "busy timeout",
			Rule:     "A connection waits for a lock until its busy timeout, which may be zero.",
			Settings: Settings{Pragmas: []string{"busy_timeout(1)"}},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx, err := s.DB.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.Must(err)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("rollback", tx.Rollback())
			},
		},
		{
			Name:     "exclusive locking",
			Rule:     "A connection with exclusive locking keeps others out, even when it is idle.",
			Settings: Settings{Pragmas: []string{"locking_mode(exclusive)", "busy_timeout(0)"}},
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.SeeExec(s.DB, "CREATE TABLE t(a)")
				seeLock(s, "idle")
				s.SeeQuery(s.DB, "PRAGMA locking_mode")
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "of the program",
			Rule: "A pragma that the program sets stays set on its connection, and on that one only.",
			Play: func(s *Session) {
				s.DB.SetMaxIdleConns(1)
				conn := s.Conn(s.DB)
				other := s.Conn(s.DB)
				s.SeeExec(conn, "PRAGMA cache_size = -333")
				s.SeeQuery(conn, "PRAGMA cache_size")
				s.SeeQuery(other, "PRAGMA cache_size")
				s.See("close", conn.Close(), other.Close())
				s.SeeQuery(s.DB, "PRAGMA cache_size")
			},
		},
		{
			Name: "of the program, with arguments",
			Rule: "A pragma takes no arguments, but its function does.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER NOT NULL, b TEXT)")
				s.SeeExec(s.DB, "PRAGMA cache_size = ?", -1)
				s.SeeQuery(s.DB, "SELECT name, type FROM pragma_table_info(?)", "t")
			},
		},
		{
			Name: "prepared",
			Rule: "A pragma can be prepared, and returns the current value at every use.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				stmt := s.Prepare(conn, "PRAGMA cache_size")
				defer stmt.Close()
				s.SeeStmtQuery("before", stmt)
				s.SeeExec(conn, "PRAGMA cache_size = -444")
				s.SeeStmtQuery("after", stmt)
			},
		},
		{
			Name: "preparing is enough",
			Rule: "SQLite sets some pragmas when they are prepared, so a wrapper must prepare only what the program asks for.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				stmt := s.Prepare(conn, "PRAGMA recursive_triggers = 1")
				s.SeeQuery(conn, "PRAGMA recursive_triggers")
				s.See("close", stmt.Close())
				s.SeeExec(conn, "PRAGMA recursive_triggers = 0; SELECT 1")
				s.SeeQuery(conn, "PRAGMA recursive_triggers")
			},
		},
		{
			Name: "unknown",
			Rule: "A pragma of the program that SQLite does not know has no effect.",
			Play: func(s *Session) {
				seeEverywhere(s, s.DB, "PRAGMA nothing_of_the_kind")
				seeEverywhere(s, s.DB, "PRAGMA nothing_of_the_kind = 1")
			},
		},
		{
			Name: "user version",
			Rule: "A pragma that is stored in the file applies to all connections, and is undone with its transaction.",
			Play: func(s *Session) {
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "PRAGMA user_version = 5")
				s.SeeQuery(tx, "PRAGMA user_version")
				s.See("rollback", tx.Rollback())
				s.SeeQuery(s.DB, "PRAGMA user_version")
				s.SeeExec(s.DB, "PRAGMA user_version = 6")
				s.SeeQuery(s.Open(s.File("test.db"), Settings{}), "PRAGMA user_version")
			},
		},
	}...)
}

// orphan adds a row whose parent does not exist.
func orphan(s *Session) {
	s.Exec(s.DB, "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE f(p REFERENCES p)")
	s.SeeExec(s.DB, "INSERT INTO f VALUES (?)", 7)
	s.SeeQuery(s.DB, "PRAGMA foreign_keys")
}

// settingCases check one setting each.
func settingCases() []Case {
	var cases []Case
	for _, pragma := range []string{
		"application_id(77)", "auto_vacuum(full)", "automatic_index(off)", "busy_timeout(4321)", "cache_size(-4000)",
		"foreign_keys=off", "journal_mode(persist)", "journal_mode('wal')", "page_size(8192)", "query_only(on)",
		"secure_delete(fast)", "synchronous(normal)", "temp_store(memory)", "user_version(9)",
	} {
		name := pragma[:strings.IndexAny(pragma, "=(")]
		cases = append(cases, Case{
			Name:     pragma,
			Rule:     "A setting of the database reads back as the value that was set.",
			Settings: Settings{Pragmas: []string{pragma}},
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.SeeExec(s.DB, "CREATE TABLE t(a)")
				s.SeeQuery(s.DB, "PRAGMA "+name)
			},
		})
	}
	return cases
}
