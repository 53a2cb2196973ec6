package clients

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

var gooseMigrations = fstest.MapFS{
	"00001_accounts.sql": {Data: []byte(`-- +goose Up
CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL CHECK (balance >= 0));
INSERT INTO account (owner, balance) VALUES ('ann', 100), ('it''s; bob', 50);
-- +goose Down
DROP TABLE account;
`)},
	"00002_log.sql": {Data: []byte(`-- +goose Up
-- +goose StatementBegin
CREATE TABLE log (account INTEGER REFERENCES account, old, new);
CREATE TRIGGER log_balance AFTER UPDATE OF balance ON account BEGIN
	INSERT INTO log VALUES (NEW.id, OLD.balance, NEW.balance);
	SELECT RAISE(ABORT, 'too much') WHERE NEW.balance > 1000;
END;
-- +goose StatementEnd
UPDATE account SET balance = balance + 1;
-- +goose Down
DROP TRIGGER log_balance;
DROP TABLE log;
`)},
	"00003_vacuum.sql": {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
PRAGMA foreign_keys = OFF;
ALTER TABLE account ADD COLUMN currency TEXT NOT NULL DEFAULT 'CZK';
PRAGMA foreign_keys = ON;
VACUUM;
-- +goose Down
ALTER TABLE account DROP COLUMN currency;
`)},
	"00005_index.sql": {Data: []byte(`-- +goose Up
CREATE UNIQUE INDEX account_owner ON account (owner, currency);
-- +goose Down
DROP INDEX account_owner;
`)},
	"00006_fails.sql": {Data: []byte(`-- +goose Up
INSERT INTO account (owner, balance) VALUES ('half done', 1);
INSERT INTO account (owner, balance) VALUES ('ann', 1);
-- +goose Down
SELECT 1;
`)},
}

func gooseProgram(a *app) {
	ctx := context.Background()
	inGo := goose.NewGoMigration(4,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT id, owner, balance FROM account ORDER BY id")
			a.rows("in Go", rows, err)
			_, err = tx.ExecContext(ctx, "UPDATE account SET balance = balance * ? WHERE owner = ?", 2, "ann")
			return err
		}},
		&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "UPDATE account SET balance = balance / ? WHERE owner = ?", 2, "ann")
			return err
		}})
	provider := func(opts ...goose.ProviderOption) *goose.Provider {
		opts = append(opts, goose.WithGoMigrations(inGo), goose.WithDisableGlobalRegistry(true))
		p, err := goose.NewProvider(goose.DialectSQLite3, a.db, gooseMigrations, opts...)
		a.ok(err)
		return p
	}
	p := provider()

	a.chapter("before")
	a.ok(p.Ping(ctx))
	for _, s := range p.ListSources() {
		a.see("source", string(s.Type), s.Path, s.Version)
	}
	pending, err := p.HasPending(ctx)
	a.see("pending", pending, err)
	gooseState(a, ctx, p)

	a.chapter("up")
	one, err := p.UpByOne(ctx)
	gooseResults(a, "by one", []*goose.MigrationResult{one}, err)
	results, err := p.UpTo(ctx, 3)
	gooseResults(a, "to 3", results, err)
	gooseState(a, ctx, p)
	results, err = p.Up(ctx)
	gooseResults(a, "all", results, err)
	var partial *goose.PartialError
	if !errors.As(err, &partial) {
		a.stop("no partial error: %v", err)
	}
	gooseResults(a, "partly applied", partial.Applied, partial.Err)
	gooseResults(a, "failed", []*goose.MigrationResult{partial.Failed}, nil)
	gooseState(a, ctx, p)

	a.chapter("the failed one left out")
	p = provider(goose.WithExcludeVersions([]int64{6}))
	pending, err = p.HasPending(ctx)
	a.see("pending", pending, err)
	_, err = p.UpByOne(ctx)
	a.fails("nothing to do", err)
	_, err = p.ApplyVersion(ctx, 2, true)
	a.fails("again", err)
	_, err = p.ApplyVersion(ctx, 77, true)
	a.fails("unknown", err)
	_, err = a.db.Exec("UPDATE account SET balance = 5000 WHERE id = 1")
	a.fails("trigger", err)

	a.chapter("down")
	one, err = p.Down(ctx)
	gooseResults(a, "one", []*goose.MigrationResult{one}, err)
	one, err = p.ApplyVersion(ctx, 3, false)
	gooseResults(a, "out of order", []*goose.MigrationResult{one}, err)
	gooseState(a, ctx, p)
	_, err = p.Up(ctx)
	a.fails("missing", err)
	results, err = provider(goose.WithExcludeVersions([]int64{6}), goose.WithAllowOutofOrder(true)).Up(ctx)
	gooseResults(a, "out of order", results, err)
	results, err = p.DownTo(ctx, 0)
	gooseResults(a, "all", results, err)
	gooseState(a, ctx, p)

	a.chapter("another table")
	store, err := database.NewStore(goose.DialectSQLite3, "my_versions")
	a.ok(err)
	p, err = goose.NewProvider(goose.Dialect(""), a.db, gooseMigrations, goose.WithStore(store), goose.WithGoMigrations(inGo),
		goose.WithDisableGlobalRegistry(true), goose.WithExcludeVersions([]int64{6}))
	a.ok(err)
	results, err = p.Up(ctx)
	gooseResults(a, "up", results, err)
	list, err := store.ListMigrations(ctx, a.db)
	a.see("list", list, err)
	_, err = store.GetMigration(ctx, a.db, 99)
	a.fails("no such version", err)

	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = p.DownTo(ctx, 0)
	a.fails("down", err)
	_, err = p.GetDBVersion(ctx)
	a.fails("version", err)

	a.chapter("concurrent")
	a.parallel(4, func(int) error {
		p := provider(goose.WithTableName("my_versions"), goose.WithExcludeVersions([]int64{6}))
		current, target, err := p.GetVersions(context.Background())
		if err == nil && (current != 5 || target != 5) {
			err = fmt.Errorf("at version %d of %d", current, target)
		}
		return err
	})
}

// gooseResults writes results without their durations.
func gooseResults(a *app, what string, results []*goose.MigrationResult, err error) {
	a.see(what, len(results), err)
	for _, r := range results {
		if r != nil {
			a.see("  result", r.Source.Version, r.Source.Path, string(r.Source.Type), r.Direction, r.Empty, r.Error)
		}
	}
}

// gooseState writes the versions that goose and the database report, but not when they were
// applied.
func gooseState(a *app, ctx context.Context, p *goose.Provider) {
	current, target, err := p.GetVersions(ctx)
	a.see("versions", current, target, err)
	status, err := p.Status(ctx)
	a.see("status", len(status), err)
	for _, s := range status {
		a.see("  status", s.Source.Version, string(s.State), s.AppliedAt.IsZero())
	}
	rows, err := a.db.QueryContext(ctx, "SELECT type, name, sql FROM sqlite_schema ORDER BY name")
	a.rows("schema", rows, err)
	for _, table := range []string{"account", "log", "goose_db_version"} {
		rows, err := a.db.QueryContext(ctx, fmt.Sprintf("SELECT * FROM %s LIMIT 0", table))
		a.rows(table, rows, err)
	}
	rows, err = a.db.QueryContext(ctx, "SELECT version_id, is_applied, typeof(tstamp) FROM goose_db_version ORDER BY id")
	a.rows("applied", rows, err)
	rows, err = a.db.QueryContext(ctx, "SELECT * FROM account ORDER BY id")
	a.rows("accounts", rows, err)
}
