// Package engines has only tests. They check that driver/wrap does not change the behavior of
// other engines' drivers.
//
// Every program is played on the bare drivers jackc/pgx, go-sql-driver/mysql and
// modernc.org/sqlite, and again on each of them wrapped: through a connector and through a
// driver, without spans, with spans and with interceptors. What the program sees, and what the
// server receives, must be exactly the same. For PostgreSQL and MySQL, the tests have their own
// servers, which implement as much of the wire protocols as the programs need. SQLite is the
// real one.
package engines
