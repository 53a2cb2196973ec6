// Package servers starts real database servers for tests: PostgreSQL, with synchronous standbys,
// and MariaDB. They listen on free ports of the loopback interface, and keep their data in
// memory. They can be killed, paused, restarted and, if they are standbys, promoted. At the end
// of the test they are stopped and removed, also when the test is killed.
//
//	primary := servers.StartPostgres(t)
//	standby := primary.StartStandby(t)
//	db, err := sql.Open("pgx", primary.DSN())
//	...
//	primary.Kill()
//	standby.Promote(ctx)
//
// The servers come from Debian's packages postgresql and mariadb-server. Where they are not
// installed, a test that needs them is skipped; see [process.Need].
package servers
