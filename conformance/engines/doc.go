// Package engines has no code but tests: they prove that driver/wrap wraps the
// drivers of other engines exactly.
//
// Every program is played on jackc/pgx, go-sql-driver/mysql and
// modernc.org/sqlite as they are, and again on each of them wrapped: by a
// connector and by a driver, without spans, with spans and with interceptors.
// What the program sees, and what the server is sent, must be the same to the
// letter. PostgreSQL and MySQL are played by servers of the tests' own, which
// speak as much of the wire protocols as the programs need; SQLite is itself.
package engines
