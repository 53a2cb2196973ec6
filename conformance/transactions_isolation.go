package conformance

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
)

// lockCases check each way to begin that a DSN can set, and the default.
func lockCases() []Case {
	var cases []Case
	for _, lock := range []string{"", "deferred", "immediate", "exclusive"} {
		for _, readOnly := range []bool{false, true} {
			what, rule := "", "Begin begins as the DSN says, or else as is the driver's default."
			if readOnly {
				what, rule = ", read-only", "A read-only transaction begins without a lock, whatever the DSN says."
			}
			cases = append(cases, Case{
				Name:     "begin " + cmp.Or(lock, "by default") + what,
				Rule:     rule,
				Settings: Settings{TxLock: lock, Pragmas: []string{"busy_timeout(0)"}},
				Play: func(s *Session) {
					s.Exec(s.DB, "CREATE TABLE t(a)")
					tx, err := s.DB.BeginTx(background, &sql.TxOptions{ReadOnly: readOnly})
					s.Must(err)
					seeLock(s, "begun")
					s.See("commit", tx.Commit())
					seeLock(s, "committed")
				},
			})
		}
	}
	return cases
}

// isolationCases check each level, and one that does not exist. The DSN sets a lock that
// differs from those of the levels that take one.
func isolationCases() []Case {
	var cases []Case
	for level := sql.LevelDefault; level <= sql.LevelLinearizable+1; level++ {
		for _, readOnly := range []bool{false, true} {
			name := fmt.Sprintf("level %v", level)
			if readOnly {
				name += ", read-only"
			}
			cases = append(cases, Case{
				Name:     name,
				Rule:     "The driver decides what an isolation level means: which locks it takes, or that it is refused.",
				Settings: Settings{TxLock: "deferred", Pragmas: []string{"busy_timeout(0)"}},
				Play: func(s *Session) {
					s.DB.SetMaxOpenConns(1)
					s.Exec(s.DB, "CREATE TABLE t(a)")
					tx, err := s.DB.BeginTx(background, &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
					s.See("begin", err)
					if err == nil {
						seeLock(s, "begun")
						s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
						seeLock(s, "written")
						s.See("commit", tx.Commit())
					}
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 2)
					s.SeeQuery(s.DB, "SELECT a FROM t")
				},
			})
		}
	}
	return cases
}

// readOnlyCases check read-only transactions, and what follows them.
func readOnlyCases() []Case {
	readOnly := &sql.TxOptions{ReadOnly: true}
	begin := func(s *Session, db interface {
		BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
	}) *sql.Tx {
		tx, err := db.BeginTx(background, readOnly)
		s.Must(err)
		return tx
	}
	return []Case{
		{
			Name: "read-only refuses",
			Rule: "A read-only transaction reads, and refuses all writes, however they are made.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := begin(s, s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (1)")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(tx, "INSERT INTO t VALUES (?) RETURNING a", 1)
				s.SeeExec(tx, "DROP TABLE t")
				stmt, err := tx.Prepare("DELETE FROM t")
				s.See("prepare", err)
				if err == nil {
					_, err = stmt.Exec()
					s.See("delete", err)
				}
				s.SeeQuery(tx, "SELECT count(*) FROM t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "read-only, committed",
			Rule: "A connection writes again when its read-only transaction has been committed.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := begin(s, s.DB)
				s.See("commit", tx.Commit())
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("query_only", s.Count(s.DB, "SELECT query_only FROM pragma_query_only"))
			},
		},
		{
			Name: "read-only, rolled back",
			Rule: "A connection writes again when its read-only transaction has been rolled back.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := begin(s, s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("rollback", tx.Rollback())
				tx = s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name:     "read-only, always",
			Rule:     "A connection that is opened read-only stays so after a read-only transaction.",
			Settings: Settings{Pragmas: []string{"query_only(1)"}},
			Play: func(s *Session) {
				s.Exec(s.Open(s.File("test.db"), Settings{}), "CREATE TABLE t(a)")
				s.DB.SetMaxOpenConns(1)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				tx := begin(s, s.DB)
				s.See("commit", tx.Commit())
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("query_only", s.Count(s.DB, "SELECT query_only FROM pragma_query_only"))
			},
		},
		{
			Name:     "read-only, always, begin",
			Rule:     "Begin on a connection that is opened read-only takes no lock, as with the driver.",
			Settings: Settings{Pragmas: []string{"query_only(1)", "busy_timeout(0)"}},
			Play: func(s *Session) {
				s.Exec(s.Open(s.File("test.db"), Settings{}), "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				seeLock(s, "begun")
				s.SeeQuery(tx, "SELECT count(*) FROM t")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "read-only, turned by the program",
			Rule: "A value of query_only that the program sets within a read-only transaction applies.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := begin(s, s.DB)
				s.SeeExec(tx, "PRAGMA query_only = 0")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name:     "read-only sees one state",
			Rule:     "A read-only transaction sees the same state from its first read to its end.",
			Settings: Settings{Pragmas: []string{"journal_mode(wal)", "busy_timeout(1000)"}},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := begin(s, s.DB)
				s.See("before", s.Count(tx, "SELECT count(*) FROM t"))
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("then", s.Count(tx, "SELECT count(*) FROM t"))
				s.See("commit", tx.Commit())
				s.See("after", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
	}
}
