package conformance

import "context"

// lifecycleCases are about opening and closing: databases, connections, statements.
func lifecycleCases() []Case {
	return []Case{
		{
			Name: "open and close",
			Rule: "A database that is opened, used and closed leaves nothing open.",
			Play: func(s *Session) {
				s.SeeExec(s.DB, "CREATE TABLE t(a)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT a, a + ? AS b FROM t", 2)
				s.See("close", s.DB.Close(), s.DB.Close())
				s.SeeExec(s.DB, "SELECT 1")
			},
		},
		{
			Name: "a function's context",
			Rule: "A function called by SQLite runs with the caller's own context.",
			Play: func(s *Session) {
				type key struct{}
				ctx := context.WithValue(background, key{}, "mine")
				s.Function("hook", func(got context.Context) any {
					s.See("hook", got == ctx, got.Value(key{}))
					return 1
				})
				_, err := s.ExecContext(ctx, s.DB, "SELECT hook()")
				s.See("exec", err)
			},
		},
	}
}
