package engines_test

import (
	"database/sql"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/engines/servers"
)

// TestDialects compares package sqltext with the servers themselves.
func TestDialects(t *testing.T) {
	for system, start := range map[string]func(*testing.T) (driver, dsn string){
		"postgresql": func(t *testing.T) (string, string) { return "pgx", servers.StartPostgres(t).AdminDSN() },
		"mysql": func(t *testing.T) (string, string) {
			m := servers.StartMariaDB(t)
			if err := m.Exec(t.Context(), "GRANT ALL ON *.* TO 'shop'@'127.0.0.1'"); err != nil {
				t.Fatal(err)
			}
			return "mysql", m.DSN()
		},
	} {
		t.Run(system, func(t *testing.T) {
			driver, dsn := start(t)
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			testDialects(t, db, system)
		})
	}
}
