package clients

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"
)

type (
	bunTeam struct {
		bun.BaseModel `bun:"table:teams,alias:t"`

		ID      int64        `bun:",pk,autoincrement"`
		Name    string       `bun:",unique,notnull"`
		Players []*bunPlayer `bun:"rel:has-many,join:id=team_id"`
	}
	bunPlayer struct {
		bun.BaseModel `bun:"table:players,alias:p"`

		ID      int64           `bun:",pk,autoincrement"`
		Name    string          `bun:",notnull"`
		TeamID  *int64          ``
		Team    *bunTeam        `bun:"rel:belongs-to,join:team_id=id"`
		Born    time.Time       `bun:",nullzero"`
		Joined  bun.NullTime    ``
		Height  sql.NullFloat64 ``
		Captain bool            `bun:",notnull,default:false"`
		Tags    []string        ``
		Stats   map[string]int  `bun:"type:json"`
		Raw     json.RawMessage `bun:",nullzero"`
		Photo   []byte          ``
		Salary  string          `bun:"type:decimal(10,2),nullzero,default:'0'"`
		Games   []bunGame       `bun:"m2m:player_games,join:Player=Game"`
		Gone    time.Time       `bun:",soft_delete,nullzero"`
	}
	bunGame struct {
		bun.BaseModel `bun:"table:games,alias:g"`

		ID     int64 `bun:",pk,autoincrement"`
		Played time.Time
		Score  sql.NullString
	}
	bunPlayerGame struct {
		bun.BaseModel `bun:"table:player_games"`

		PlayerID int64      `bun:",pk"`
		Player   *bunPlayer `bun:"rel:belongs-to,join:player_id=id"`
		GameID   int64      `bun:",pk"`
		Game     *bunGame   `bun:"rel:belongs-to,join:game_id=id"`
	}
)

func bunProgram(a *app) {
	ctx := context.Background()
	db := bun.NewDB(a.db, sqlitedialect.New())
	db.RegisterModel((*bunPlayerGame)(nil))
	a.see("dialect", db.Dialect().Name().String())

	bunSchema(a, ctx, db)
	bunInserts(a, ctx, db)
	bunQueries(a, ctx, db)
	bunRelations(a, ctx, db)
	bunUpdates(a, ctx, db)
	bunTransactions(a, ctx, db)
	bunErrors(a, ctx, db)
	bunMigrations(a, ctx, db)
	bunCancelled(a, db)
	bunConcurrent(a, ctx, db)
}

func bunSchema(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("schema")
	for _, model := range []any{(*bunTeam)(nil), (*bunPlayer)(nil), (*bunGame)(nil), (*bunPlayerGame)(nil)} {
		for range 2 {
			_, err := db.NewCreateTable().Model(model).IfNotExists().WithForeignKeys().Exec(ctx)
			a.ok(err)
		}
	}
	_, err := db.NewCreateIndex().Model((*bunPlayer)(nil)).Index("player_name").Column("name").Exec(ctx)
	a.ok(err)
	_, err = db.NewAddColumn().Model((*bunGame)(nil)).ColumnExpr("place TEXT DEFAULT 'home'").Exec(ctx)
	a.ok(err)
	var schema []struct{ Type, Name, SQL string }
	a.ok(db.NewSelect().Table("sqlite_schema").Column("type", "name", "sql").Where("sql IS NOT NULL").Order("name").Scan(ctx, &schema))
	a.see("schema", schema)
}

func bunInserts(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("inserts")
	teams := []bunTeam{{Name: "Reds"}, {Name: "Blues"}, {Name: "Empty"}}
	res, err := db.NewInsert().Model(&teams).Exec(ctx)
	a.ok(err)
	n, err := res.RowsAffected()
	a.see("teams", n, err, teams)
	players := []*bunPlayer{
		{Name: "Ann", TeamID: &teams[0].ID, Born: time.Date(1990, 1, 2, 3, 4, 5, 6_000_000, time.UTC), Captain: true,
			Joined: bun.NullTime{Time: time.Date(2020, 5, 6, 0, 0, 0, 0, time.Local)}, Height: sql.NullFloat64{Float64: 1.75, Valid: true},
			Tags: []string{"fast", "left"}, Stats: map[string]int{"goals": 7}, Raw: json.RawMessage(`{"a":[1,null]}`), Photo: []byte{0, 255}, Salary: "1234.5"},
		{Name: "Ben", TeamID: &teams[0].ID, Photo: []byte{}, Tags: []string{}},
		{Name: "Cas", TeamID: &teams[1].ID, Stats: map[string]int{}},
		{Name: "Dee"},
	}
	_, err = db.NewInsert().Model(&players).Returning("*").Exec(ctx)
	a.ok(err)
	a.see("players", players)
	games := []bunGame{{Played: time.Unix(0, 0)}, {Played: time.Unix(1e9, 123_456_000).UTC(), Score: sql.NullString{String: "3:2", Valid: true}}}
	_, err = db.NewInsert().Model(&games).Exec(ctx)
	a.ok(err)
	links := []bunPlayerGame{{PlayerID: 1, GameID: 1}, {PlayerID: 1, GameID: 2}, {PlayerID: 2, GameID: 2}}
	_, err = db.NewInsert().Model(&links).Exec(ctx)
	a.ok(err)
	res, err = db.NewInsert().Model(&bunTeam{ID: 1, Name: "Crimsons"}).On("CONFLICT (id) DO UPDATE").Set("name = EXCLUDED.name").Exec(ctx)
	a.ok(err)
	n, err = res.RowsAffected()
	a.see("upsert", n, err)
	res, err = db.NewInsert().Model(&bunTeam{ID: 1, Name: "Lost"}).Ignore().Exec(ctx)
	a.ok(err)
	n, err = res.RowsAffected()
	a.see("ignored", n, err)
	values := map[string]any{"name": "Greens"}
	res, err = db.NewInsert().Model(&values).TableExpr("teams").Exec(ctx)
	a.ok(err)
	id, err := res.LastInsertId()
	a.see("map", id, err)
}

func bunQueries(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("queries")
	var players []bunPlayer
	a.ok(db.NewSelect().Model(&players).Order("id").Scan(ctx))
	a.see("all", players)
	one := new(bunPlayer)
	a.ok(db.NewSelect().Model(one).Where("name = ?", "Ann").Limit(1).Scan(ctx))
	a.see("one", one)
	a.fails("none", db.NewSelect().Model(one).Where("id = ?", 99).Scan(ctx))
	n, err := db.NewSelect().Model(&players).Where("team_id IN (?)", bun.List([]int{1, 2})).Order("name DESC").Limit(2).ScanAndCount(ctx)
	a.see("scan and count", n, err, players)
	exists, err := db.NewSelect().Model((*bunTeam)(nil)).Where("name LIKE ?", "B%").Exists(ctx)
	a.see("exists", exists, err)
	var maps []map[string]any
	a.ok(db.NewSelect().Table("players").Order("id").Scan(ctx, &maps))
	a.see("maps", maps)
	var names []string
	var heights []sql.NullFloat64
	a.ok(db.NewSelect().Model((*bunPlayer)(nil)).Column("name", "height").Order("id").Scan(ctx, &names, &heights))
	a.see("columns", names, heights)
	var a1, a2 int
	var a3 *time.Time
	a.ok(db.NewSelect().ColumnExpr("count(*), count(team_id), max(born)").TableExpr("players").Scan(ctx, &a1, &a2, &a3))
	a.see("aggregates", a1, a2, a3)
	var stats []struct {
		Team    string
		Players int
		Tallest *float64
	}
	with := db.NewSelect().Model((*bunPlayer)(nil)).Column("team_id", "height")
	a.ok(db.NewSelect().With("tall", with).TableExpr("teams AS t").ColumnExpr("t.name AS team, count(tall.team_id) AS players, max(tall.height) AS tallest").
		Join("LEFT JOIN tall ON tall.team_id = t.id").GroupExpr("t.id").Having("count(*) > ?", 0).OrderExpr("t.id").Scan(ctx, &stats))
	a.see("stats", stats)

	rows, err := db.NewSelect().Model((*bunPlayer)(nil)).Order("id").Rows(ctx)
	a.ok(err)
	a.columns("columns", rows)
	for rows.Next() {
		p := new(bunPlayer)
		a.see("row", db.ScanRow(ctx, rows, p), p)
	}
	a.see("end", rows.Err(), rows.Close())
	rows, err = db.QueryContext(ctx, "SELECT name, ? AS i, ? AS q, ? AS t, ? AS b, ? AS n FROM teams ORDER BY id", 42, "it's", time.Unix(5, 0).UTC(), []byte{1}, nil)
	a.rows("formatted", rows, err)
	var raw []bunTeam
	a.ok(db.NewRaw("SELECT * FROM ? WHERE ? > ? ORDER BY id", bun.Ident("teams"), bun.Ident("id"), 1).Scan(ctx, &raw))
	a.see("raw", raw)
	union := db.NewSelect().Model((*bunTeam)(nil)).Column("name").UnionAll(db.NewSelect().Model((*bunPlayer)(nil)).Column("name"))
	n, err = db.NewSelect().TableExpr("(?) AS u", union).Count(ctx)
	a.see("union", n, err)
}

func bunRelations(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("relations")
	var teams []bunTeam
	a.ok(db.NewSelect().Model(&teams).Relation("Players", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("name DESC") }).
		Relation("Players.Games").Order("t.id").Scan(ctx))
	a.see("teams", teams)
	var players []bunPlayer
	a.ok(db.NewSelect().Model(&players).Relation("Team").Relation("Games").Where("p.captain OR team.name = ?", "Blues").Order("p.id").Scan(ctx))
	a.see("players", players)
}

func bunUpdates(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("updates")
	affected := func(what string, res sql.Result, err error) {
		a.ok(err)
		n, err := res.RowsAffected()
		a.see(what, n, err)
	}
	p := &bunPlayer{ID: 2, Name: "Benjamin", Height: sql.NullFloat64{Float64: 2, Valid: true}, Tags: []string{"tall"}}
	res, err := db.NewUpdate().Model(p).Column("name", "height", "tags").WherePK().Returning("*").Exec(ctx)
	affected("update", res, err)
	a.see("returned", p)
	res, err = db.NewUpdate().Model((*bunPlayer)(nil)).Set("salary = salary + ?", 10).Where("TRUE").Exec(ctx)
	affected("set", res, err)
	res, err = db.NewUpdate().Model(&bunPlayer{ID: 3, Captain: true}).OmitZero().WherePK().Exec(ctx)
	affected("omit zero", res, err)
	bulk := []bunTeam{{ID: 1, Name: "One"}, {ID: 2, Name: "Two"}}
	res, err = db.NewUpdate().With("_data", db.NewValues(&bulk)).Model((*bunTeam)(nil)).TableExpr("_data").Set("name = _data.name").Where("t.id = _data.id").Exec(ctx)
	affected("bulk", res, err)
	res, err = db.NewUpdate().Model((*bunPlayer)(nil)).Set("gone = ?", time.Unix(100, 0).UTC()).Where("name = ?", "Dee").Exec(ctx)
	affected("soft delete", res, err)
	n, err := db.NewSelect().Model((*bunPlayer)(nil)).Count(ctx)
	a.see("left", n, err)
	var gone []bunPlayer
	a.ok(db.NewSelect().Model(&gone).WhereDeleted().Scan(ctx))
	a.see("gone", gone)
	var id int64
	a.ok(db.NewDelete().Model((*bunPlayer)(nil)).ForceDelete().Where("name = ?", "Dee").WhereAllWithDeleted().Returning("id").Scan(ctx, &id))
	a.see("deleted", id)
	_, err = db.NewDelete().Model((*bunTeam)(nil)).Exec(ctx)
	a.fails("no condition", err)
}

func bunTransactions(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("transactions")
	count := func(db bun.IDB) int64 {
		n, err := db.NewSelect().Model((*bunTeam)(nil)).Count(ctx)
		a.ok(err)
		return n
	}
	insert := func(db bun.IDB, name string) error {
		_, err := db.NewInsert().Model(&bunTeam{Name: name}).Exec(ctx)
		return err
	}
	a.see("before", count(db))
	a.see("committed", db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return insert(tx, "t1") }), count(db))
	a.see("rolled back", db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		a.ok(insert(tx, "t2"))
		a.see("inside", count(tx), count(db))
		return errors.New("no")
	}), count(db))
	// bun's nested transactions are savepoints.
	a.see("nested", db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx bun.Tx) error {
		a.ok(insert(tx, "t3"))
		a.see("inner fails", tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			a.ok(insert(tx, "t4"))
			return insert(tx, "t3")
		}), count(tx))
		inner, err := tx.BeginTx(ctx, nil)
		a.ok(err)
		a.ok(insert(inner, "t5"))
		deeper, err := inner.Begin()
		a.ok(err)
		a.ok(insert(deeper, "t6"))
		a.see("inside", count(deeper))
		a.ok(deeper.Rollback())
		a.ok(inner.Commit())
		return nil
	}), count(db))
	for _, opts := range []sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSnapshot}, {Isolation: sql.LevelLinearizable}} {
		tx, err := db.BeginTx(ctx, &opts)
		a.see(fmt.Sprint("begin ", opts), err)
		if err == nil {
			a.see("write", insert(tx, "opts"), tx.Rollback(), tx.Commit())
		}
	}
	conn, err := db.Conn(ctx)
	a.ok(err)
	tx, err := conn.BeginTx(ctx, nil)
	a.ok(err)
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO teams (name) VALUES (?) RETURNING id, name")
	a.ok(err)
	for i := range 3 {
		rows, err := stmt.QueryContext(ctx, fmt.Sprint("prepared ", i))
		a.rows("prepared", rows, err)
	}
	a.see("on one connection", stmt.Close(), tx.Commit(), conn.Close(), count(db))
}

func bunErrors(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("errors")
	_, err := db.NewInsert().Model(&bunTeam{Name: "t1"}).Exec(ctx)
	a.fails("unique", err)
	_, err = db.NewInsert().Model(&bunTeam{Name: "t1"}).Returning("id").Exec(ctx)
	a.fails("unique by query", err)
	team := int64(77)
	_, err = db.NewInsert().Model(&bunPlayer{Name: "x", TeamID: &team}).Exec(ctx)
	a.fails("foreign key", err)
	_, err = db.NewRaw("UPDATE players SET name = NULL").Exec(ctx)
	a.fails("not null", err)
	a.fails("no table", db.NewSelect().Table("nowhere").Scan(ctx, new(int)))
	a.fails("no column", db.NewSelect().Model((*bunTeam)(nil)).Where("nope = 1").Scan(ctx, new(bunTeam)))
	a.fails("surplus column", db.NewRaw("SELECT *, 1 AS surplus FROM teams").Scan(ctx, new(bunTeam)))
	a.fails("scan", db.NewRaw("SELECT 'x'").Scan(ctx, new(int)))
	_, err = db.ExecContext(ctx, "SELEC ?", 1)
	a.fails("syntax", err)
	_, err = db.NewUpdate().Model(&bunTeam{ID: 99, Name: "nobody"}).WherePK().Returning("*").Exec(ctx)
	a.see("nothing to update", err)
}

func bunMigrations(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("migrations")
	migrations := migrate.NewMigrations()
	a.ok(migrations.Discover(fstest.MapFS{
		"20260101000000_one.tx.up.sql":   {Data: []byte("CREATE TABLE one(a);\n--bun:split\nINSERT INTO one VALUES (1), (2);")},
		"20260101000000_one.tx.down.sql": {Data: []byte("DROP TABLE one;")},
		"20260102000000_two.up.sql":      {Data: []byte("ALTER TABLE one ADD COLUMN b;")},
		"20260102000000_two.down.sql":    {Data: []byte("ALTER TABLE one DROP COLUMN b;")},
		"20260103000000_bad.tx.up.sql":   {Data: []byte("INSERT INTO one VALUES (3, 3);\n--bun:split\nINSERT INTO nowhere VALUES (1);")},
		"20260103000000_bad.tx.down.sql": {Data: []byte("SELECT 1;")},
	}))
	m := migrate.NewMigrator(db, migrations, migrate.WithMarkAppliedOnSuccess(true))
	a.ok(m.Init(ctx))
	group, err := m.Migrate(ctx)
	a.see("migrate", group.ID, group.Migrations.String(), err)
	a.see("locked", m.Lock(ctx), m.Lock(ctx), m.Unlock(ctx))
	status, err := m.MigrationsWithStatus(ctx)
	a.ok(err)
	for _, s := range status {
		a.see("status", s.ID, s.Name, s.GroupID, s.IsApplied())
	}
	rows, err := db.QueryContext(ctx, "SELECT * FROM one")
	a.rows("one", rows, err)
	group, err = m.Rollback(ctx)
	a.see("rollback", group.Migrations.String(), err)
	_, err = db.QueryContext(ctx, "SELECT * FROM one")
	a.fails("gone", err)
}

func bunCancelled(a *app, db *bun.DB) {
	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(context.Background())
	rows, err := db.QueryContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
	a.ok(err)
	for rows.Next() {
		cancel()
	}
	a.see("rows", gaveUp(rows.Err()), rows.Close())
	cancel()
	_, err = db.NewInsert().Model(&bunTeam{Name: "late"}).Exec(ctx)
	a.fails("insert", err)
	a.fails("select", db.NewSelect().Model(new(bunTeam)).Limit(1).Scan(ctx))
	a.fails("transaction", db.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return nil }))
}

func bunConcurrent(a *app, ctx context.Context, db *bun.DB) {
	a.chapter("concurrent")
	a.parallel(5, func(worker int) error {
		for i := range 5 {
			err := db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx bun.Tx) error {
				// A serializable transaction begins as a write, so that what is
				// read here remains true until the write.
				n, err := tx.NewSelect().Model((*bunGame)(nil)).Count(ctx)
				if err != nil {
					return err
				}
				_, err = tx.NewInsert().Model(&bunGame{Played: time.Unix(n, 0).UTC()}).Exec(ctx)
				return err
			})
			if err != nil {
				return fmt.Errorf("worker %d, round %d: %w", worker, i, err)
			}
		}
		return nil
	})
	var games []bunGame
	a.ok(db.NewSelect().Model(&games).ExcludeColumn("id").Order("id").Scan(ctx))
	a.see("games", games)
}
