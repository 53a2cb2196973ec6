package conformance

import (
	"context"
	"errors"
)

// contextCases check which context functions get.
func contextCases() []Case {
	type key struct{}
	// told makes hook record the context in which it runs.
	told := func(s *Session, mine context.Context) {
		s.Function("hook", func(got context.Context) any {
			s.See("hook", got == mine, got.Value(key{}), got.Err())
			return 1
		})
	}
	var cases []Case
	for _, way := range []struct {
		name, rule string
		do         func(ctx context.Context, s *Session) error
	}{
		{"exec", "an exec", func(ctx context.Context, s *Session) error {
			_, err := s.ExecContext(ctx, s.DB, "SELECT hook(); SELECT hook()")
			return err
		}},
		{"exec with arguments", "an exec with arguments", func(ctx context.Context, s *Session) error {
			_, err := s.ExecContext(ctx, s.DB, "SELECT hook() + ?", 1)
			return err
		}},
		{"query", "a query", func(ctx context.Context, s *Session) error {
			return s.DB.QueryRowContext(ctx, "SELECT hook()").Scan(new(int))
		}},
		{"query with arguments", "a query with arguments", func(ctx context.Context, s *Session) error {
			return s.DB.QueryRowContext(ctx, "SELECT hook() + ?", 1).Scan(new(int))
		}},
		{"prepared exec", "a prepared statement's exec, whatever it was prepared with", func(ctx context.Context, s *Session) error {
			stmt := s.Prepare(s.DB, "SELECT hook() + ?")
			defer stmt.Close()
			_, err := stmt.ExecContext(ctx, 1)
			return err
		}},
		{"prepared query", "a prepared statement's query, whatever it was prepared with", func(ctx context.Context, s *Session) error {
			stmt := s.Prepare(s.DB, "SELECT hook() + ?")
			defer stmt.Close()
			return stmt.QueryRowContext(ctx, 1).Scan(new(int))
		}},
		{"transaction", "a transaction's statement, whatever it was begun with", func(ctx context.Context, s *Session) error {
			tx := s.Begin(s.DB)
			defer tx.Rollback()
			_, err := s.ExecContext(ctx, tx, "SELECT hook() + ?", 1)
			return errors.Join(err, tx.QueryRowContext(ctx, "SELECT hook()").Scan(new(int)))
		}},
		{"trigger", "a trigger", func(ctx context.Context, s *Session) error {
			s.Exec(s.DB, "CREATE TABLE IF NOT EXISTS t(a); CREATE TEMP TRIGGER IF NOT EXISTS tr AFTER INSERT ON t BEGIN SELECT hook(); END")
			_, err := s.ExecContext(ctx, s.DB, "INSERT INTO t VALUES (?)", 1)
			return err
		}},
	} {
		cases = append(cases, Case{
			Name: "context of " + way.name,
			Rule: "A function runs with exactly the context of " + way.rule + ".",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				ctx := context.WithValue(background, key{}, "mine")
				told(s, ctx)
				s.See("err", way.do(ctx, s))
				told(s, background)
				s.See("err", way.do(background, s))
			},
		})
	}
	return append(cases, Case{
		Name: "context of rows",
		Rule: "Rows run with the context of their own query, however late they are read and whatever ran in between.",
		Play: func(s *Session) {
			conn := s.Conn(s.DB)
			defer conn.Close()
			ctx := context.WithValue(background, key{}, "rows")
			rows, err := conn.QueryContext(ctx, "SELECT hook() UNION ALL SELECT hook() UNION ALL SELECT hook()")
			s.Must(err)
			defer rows.Close()
			for i := range 3 {
				told(s, ctx)
				s.See("next", rows.Next())
				between := context.WithValue(background, key{}, i)
				told(s, between)
				_, err := s.ExecContext(between, conn, "SELECT hook() + ?", 1)
				s.See("between", err)
			}
			s.See("end", rows.Next(), rows.Err())
		},
	})
}
