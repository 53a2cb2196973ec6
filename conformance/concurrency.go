package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// concurrencyCases use many goroutines and connections concurrently. They record only what does
// not depend on scheduling.
func concurrencyCases() []Case {
	waiting := Settings{Pragmas: []string{"busy_timeout(30000)", "journal_mode(wal)"}, TxLock: "immediate"}
	cases := append(crowdCases(waiting), poolCases(waiting)...)
	for i := range cases {
		cases[i].Unasked = true
	}
	return cases
}

// crowd calls f in n goroutines, and records how many calls fail, and with which errors.
func crowd(s *Session, n int, f func(i int) error) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
			s.See("fails", err)
		}
	}
	s.See("failed", failed)
}

// crowdCases let all goroutines do the same.
func crowdCases(waiting Settings) []Case {
	return []Case{
		{
			Name:     "writers",
			Rule:     "Many goroutines that write, and wait for each other, all succeed.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				crowd(s, 16, func(i int) error {
					for j := range 5 {
						if _, err := s.ExecContext(background, s.DB, "INSERT INTO t VALUES (?)", 10*i+j); err != nil {
							return err
						}
					}
					return nil
				})
				s.See("rows", s.Count(s.DB, "SELECT count(DISTINCT a) FROM t"), s.Count(s.DB, "SELECT sum(a) FROM t"))
			},
		},
		{
			Name:     "transactions",
			Rule:     "Immediate transactions that read and then write lose no update of each other.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
				crowd(s, 16, func(int) error {
					for range 5 {
						if err := increment(s, s.DB); err != nil {
							return err
						}
					}
					return nil
				})
				s.See("sum", s.Count(s.DB, "SELECT a FROM t"))
			},
		},
		{
			Name:     "rolled back",
			Rule:     "When some transactions are rolled back, exactly the committed ones take effect.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				crowd(s, 16, func(i int) error {
					tx, err := s.DB.BeginTx(background, nil)
					if err != nil {
						return err
					}
					defer tx.Rollback()
					if _, err := s.ExecContext(background, tx, "INSERT INTO t VALUES (?)", i); err != nil || i%2 == 0 {
						return err
					}
					return tx.Commit()
				})
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
		{
			Name:     "readers",
			Rule:     "Readers and a writer do not block each other, and readers see whole transactions.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
				crowd(s, 12, func(i int) error {
					if i == 0 {
						for range 20 {
							if _, err := s.ExecContext(background, s.DB, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (-1); COMMIT"); err != nil {
								return err
							}
						}
						return nil
					}
					for range 20 {
						var sum int
						if err := s.DB.QueryRow("SELECT sum(a) FROM t WHERE a < ?", 5).Scan(&sum); err != nil || sum != 0 {
							return fmt.Errorf("the sum is %d: %w", sum, err)
						}
					}
					return nil
				})
				s.See("rows", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name:     "one statement",
			Rule:     "Many goroutines can use one prepared statement concurrently.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				insert, query := s.Prepare(s.DB, "INSERT INTO t VALUES (?)"), s.Prepare(s.DB, "SELECT ? + 1")
				defer insert.Close()
				defer query.Close()
				crowd(s, 16, func(i int) error {
					for j := range 5 {
						var n int
						if err := query.QueryRow(10*i + j).Scan(&n); err != nil || n != 10*i+j+1 {
							return fmt.Errorf("%d follows %d: %w", n, 10*i+j, err)
						}
						if _, err := insert.Exec(n); err != nil {
							return err
						}
					}
					return nil
				})
				s.See("rows", s.Count(s.DB, "SELECT count(DISTINCT a) FROM t"))
			},
		},
		{
			Name:     "one text",
			Rule:     "Goroutines that use the same query concurrently each get their own rows.",
			Settings: waiting,
			Play: func(s *Session) {
				// Connections that are opened concurrently to a file which no
				// connection has open in WAL mode may find it locked. SQLite
				// does not wait where that could deadlock.
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(s.DB, "CREATE TABLE t(a)") // concurrent creation of the -wal file returns BUSY
				crowd(s, 16, func(i int) error {
					rows, err := s.DB.Query("SELECT ? UNION ALL SELECT ?1 UNION ALL SELECT ?1", i)
					if err != nil {
						return err
					}
					defer rows.Close()
					for rows.Next() {
						var n int
						if err := rows.Scan(&n); err != nil || n != i {
							return fmt.Errorf("%d is not %d: %w", n, i, err)
						}
					}
					return rows.Err()
				})
			},
		},
		{
			Name:     "one connection for all",
			Rule:     "Goroutines that share one connection are all served.",
			Settings: waiting,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
				crowd(s, 16, func(i int) error {
					if i%2 == 0 {
						return increment(s, s.DB)
					}
					return s.DB.QueryRow("SELECT a FROM t WHERE a >= ?", 0).Scan(new(int))
				})
				s.See("sum", s.Count(s.DB, "SELECT a FROM t"))
				s.See("open", s.DB.Stats().OpenConnections)
			},
		},
		{
			Name:     "rows within rows",
			Rule:     "Goroutines can query while they read rows, each query on another connection.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
				crowd(s, 8, func(int) error {
					rows, err := s.DB.Query("SELECT a FROM t WHERE a < ?", 10)
					if err != nil {
						return err
					}
					defer rows.Close()
					for rows.Next() {
						var n int
						if err := s.DB.QueryRow("SELECT count(*) FROM t WHERE a < ?", 10).Scan(&n); err != nil || n != 3 {
							return fmt.Errorf("%d rows: %w", n, err)
						}
					}
					return rows.Err()
				})
				s.See("in use", s.DB.Stats().InUse)
			},
		},
		{
			Name:     "one connection of everybody's",
			Rule:     "Goroutines that use one *sql.Conn are served one after the other.",
			Settings: waiting,
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				crowd(s, 8, func(i int) error {
					_, err := s.ExecContext(background, conn, "INSERT INTO t VALUES (?)", i)
					if err != nil {
						return err
					}
					return conn.QueryRowContext(background, "SELECT a FROM t WHERE a = ?", i).Scan(new(int))
				})
				s.See("rows", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
	}
}

// increment adds one to the number that it has read in the same transaction.
func increment(s *Session, db *sql.DB) error {
	tx, err := db.BeginTx(background, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRow("SELECT a FROM t").Scan(&n); err != nil {
		return err
	}
	if _, err := s.ExecContext(background, tx, "UPDATE t SET a = ?", n+1); err != nil {
		return err
	}
	return tx.Commit()
}

// poolCases check how connections are passed on.
func poolCases(waiting Settings) []Case {
	return []Case{
		{
			Name:     "cancelled while waiting",
			Rule:     "A caller that waits for a connection until its context ends gets the context's error, and the connection stays usable.",
			Settings: waiting,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				conn := s.Conn(s.DB)
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				done := make(chan struct{})
				go func() {
					defer close(done)
					crowd(s, 4, func(i int) error {
						_, err := s.ExecContext(ctx, s.DB, "INSERT INTO t VALUES (?)", i)
						return err
					})
				}()
				s.Await(func() bool { return s.DB.Stats().WaitCount == 4 })
				cancel()
				<-done
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 5)
				s.See("close", conn.Close())
				s.See("rows", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name:     "closed while waiting",
			Rule:     "A caller that waits for a connection of a database that is closed gets an error.",
			Settings: waiting,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				done := make(chan struct{})
				go func() {
					defer close(done)
					crowd(s, 4, func(int) error { return s.DB.QueryRow("SELECT 1").Scan(new(int)) })
				}()
				s.Await(func() bool { return s.DB.Stats().WaitCount == 4 })
				err := s.DB.Close()
				<-done
				s.See("close", err)
				s.SeeQuery(conn, "SELECT 1")
				s.See("close", conn.Close())
			},
		},
		{
			Name:     "closed while in use",
			Rule:     "Work in progress when the database is closed continues to its end.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				rows := s.Query(s.DB, "SELECT ? UNION ALL SELECT 2", 1)
				s.See("first", rows.Next())
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("close", s.DB.Close())
				s.See("second", rows.Next(), rows.Next(), rows.Err(), rows.Close())
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", tx.Commit())
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 3)
				s.See("rows", s.Count(s.Open(s.File("test.db"), Settings{}), "SELECT count(*) FROM t"))
			},
		},
		{
			Name:     "closed by everybody",
			Rule:     "Several goroutines can close a database concurrently.",
			Settings: waiting,
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				crowd(s, 8, func(int) error { return s.DB.Close() })
				s.See("open", s.DB.Stats().OpenConnections)
			},
		},
		{
			Name:     "no idle connections",
			Rule:     "If no idle connection is kept, each call opens one and closes it.",
			Settings: waiting,
			Play: func(s *Session) {
				s.DB.SetMaxIdleConns(-1)
				keeper := s.Conn(s.Open(s.File("test.db"), waiting)) // keeps the -wal file, which the last connection to close removes
				defer keeper.Close()
				s.Exec(s.DB, "CREATE TABLE t(a)")
				stmt := s.Prepare(s.DB, "INSERT INTO t VALUES (?)")
				defer stmt.Close()
				crowd(s, 8, func(i int) error {
					if _, err := stmt.Exec(i); err != nil {
						return err
					}
					return s.DB.QueryRow("SELECT a FROM t WHERE a = ?", i).Scan(new(int))
				})
				s.See("rows", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.See("open", s.DB.Stats().OpenConnections)
			},
		},
		{
			Name:     "cancelled in a crowd",
			Rule:     "Transactions whose contexts end leave nothing behind, and do not disturb others.",
			Settings: waiting,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(4)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				crowd(s, 16, func(i int) error {
					ctx, cancel := context.WithCancel(background)
					defer cancel()
					tx, err := s.DB.BeginTx(ctx, nil)
					if err != nil {
						return err
					}
					defer tx.Rollback()
					if _, err := s.ExecContext(background, tx, "INSERT INTO t VALUES (?)", i); err != nil {
						return err
					}
					if i%2 == 0 {
						cancel()
						if tx.Commit() == nil {
							return fmt.Errorf("%d is committed though it was cancelled", i)
						}
						return nil
					}
					return tx.Commit()
				})
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
	}
}
