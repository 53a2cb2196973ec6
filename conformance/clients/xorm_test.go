package clients

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"xorm.io/xorm"
	"xorm.io/xorm/core"
	"xorm.io/xorm/dialects"
	"xorm.io/xorm/log"
	"xorm.io/xorm/names"
	"xorm.io/xorm/schemas"
)

// xorm must be told which dialect an unknown driver uses.
func init() {
	dialects.RegisterDriver("sqlitemw", dialects.QueryDriver("sqlite3"))
	dialects.RegisterDriver("sqlitemw-pool", dialects.QueryDriver("sqlite3"))
}

type (
	xormCity struct {
		ID   int64  `xorm:"pk autoincr"`
		Name string `xorm:"varchar(60) notnull unique"`
	}
	xormPerson struct {
		ID       int64   `xorm:"pk autoincr"`
		Name     string  `xorm:"varchar(25) notnull index(name_age)"`
		Age      int     `xorm:"index(name_age) default 18"`
		CityID   int64   `xorm:"index"`
		Email    *string `xorm:"unique"`
		Nick     sql.NullString
		Born     time.Time
		Seen     int64 `xorm:"default 0"`
		Admin    bool  `xorm:"notnull default false"`
		Height   float64
		Balance  string `xorm:"decimal(10,2)"`
		Photo    []byte
		Tags     []string       `xorm:"json"`
		Extra    map[string]any `xorm:"json"`
		Revision int            `xorm:"version"`
		Gone     int64          `xorm:"deleted"`
	}
	xormResident struct {
		Person xormPerson `xorm:"extends"`
		City   xormCity   `xorm:"extends"`
	}
)

func (xormCity) TableName() string   { return "city" }
func (xormPerson) TableName() string { return "person" }

func xormProgram(a *app) {
	engine, err := xorm.NewEngineWithDB(a.driver, a.dsn, core.FromDB(a.db))
	a.ok(err)
	engine.SetMapper(names.GonicMapper{})
	engine.SetLogLevel(log.LOG_OFF)
	a.ok(engine.Ping())
	version, err := engine.DBVersion()
	a.see("version", version, err)

	xormSchema(a, engine)
	xormInserts(a, engine)
	xormQueries(a, engine)
	xormUpdates(a, engine)
	xormTransactions(a, engine)
	xormErrors(a, engine)
	xormMetas(a, engine)
	xormCancelled(a, engine)
	xormConcurrent(a, engine)
}

func xormSchema(a *app, engine *xorm.Engine) {
	a.chapter("schema")
	for range 2 {
		a.ok(engine.Sync(new(xormCity), new(xormPerson)))
	}
	exists, err := engine.IsTableExist("person")
	a.see("exists", exists, err)
	exists, err = engine.IsTableExist("nowhere")
	a.see("exists", exists, err)
	empty, err := engine.IsTableEmpty(new(xormPerson))
	a.see("empty", empty, err)
	results, err := engine.Import(strings.NewReader("CREATE TABLE imported (a INTEGER, b TEXT);\nINSERT INTO imported VALUES (1, 'x;y');\nINSERT INTO imported VALUES (2, NULL);"))
	a.see("import", len(results), err)
}

func xormInserts(a *app, engine *xorm.Engine) {
	a.chapter("inserts")
	cities := []xormCity{{Name: "Praha"}, {Name: "Brno"}}
	n, err := engine.Insert(&cities)
	a.see("cities", n, err, cities)
	email := "eva@example.org"
	eva := xormPerson{
		Name: "Eva", Age: 30, CityID: 1, Email: &email, Nick: sql.NullString{String: "E", Valid: true}, Born: time.Date(1996, 2, 29, 1, 2, 3, 0, time.Local),
		Admin: true, Height: 1.68, Balance: "10.50", Photo: []byte{0, 1, 255}, Tags: []string{"a", "b"}, Extra: map[string]any{"n": 1.5, "nil": nil},
	}
	n, err = engine.InsertOne(&eva)
	a.see("one", n, err, eva)
	n, err = engine.Insert(&xormPerson{Name: "Jan", CityID: 2, Born: time.Unix(0, 0)}, &xormCity{Name: "Plzeň"})
	a.see("two kinds", n, err)
	var many []*xormPerson
	for i := range 12 {
		many = append(many, &xormPerson{Name: fmt.Sprintf("p%02d", i), Age: i, CityID: int64(i%4 + 1), Height: float64(i) / 4, Balance: fmt.Sprint(i)})
	}
	n, err = engine.Insert(&many)
	a.see("many", n, err)
	n, err = engine.Table("person").Insert(map[string]any{"name": "map", "age": 7, "admin": true})
	a.see("map", n, err)
	res, err := engine.Exec("INSERT INTO city (name) VALUES (?)", "Zlín")
	a.ok(err)
	id, err := res.LastInsertId()
	a.see("exec", id, err)
}

func xormQueries(a *app, engine *xorm.Engine) {
	a.chapter("queries")
	var p xormPerson
	found, err := engine.ID(1).Get(&p)
	a.see("get", found, err, p)
	p = xormPerson{Name: "Jan"}
	found, err = engine.Get(&p)
	a.see("by example", found, err, p)
	found, err = engine.Where("name = ?", "nobody").Get(new(xormPerson))
	a.see("none", found, err)
	var name string
	found, err = engine.Table("person").Where("id = ?", 1).Cols("name").Get(&name)
	a.see("column", found, err, name)
	found, err = engine.Exist(&xormPerson{Name: "Eva"})
	a.see("exist", found, err)
	var people []xormPerson
	a.ok(engine.Where("age > ?", 5).In("city_id", 1, 2).Desc("height").Limit(3, 1).Find(&people))
	a.see("find", people)
	byID := make(map[int64]*xormPerson)
	a.ok(engine.Where("id <= 3").Find(&byID))
	a.see("map", byID)
	n, err := engine.Where("name LIKE 'p%'").OrderBy("id").Limit(2).FindAndCount(&people)
	a.see("find and count", n, err, len(people))
	n, err = engine.Where("age > 3").Count(new(xormPerson))
	a.see("count", n, err)
	sums, err := engine.Sums(new(xormPerson), "age", "height")
	a.see("sums", sums, err)
	var residents []xormResident
	a.ok(engine.Table("person").Join("INNER", "city", "city.id = person.city_id").Where("person.id < 6").Asc("person.id").Find(&residents))
	a.see("join", residents)
	var groups []struct {
		CityID int64
		Heads  int
		Mean   *float64
	}
	a.ok(engine.Table("person").Select("city_id, count(*) AS heads, avg(height) AS mean").GroupBy("city_id").Having("count(*) > 1").OrderBy("city_id").Find(&groups))
	a.see("groups", groups)

	bytes, err := engine.Query("SELECT * FROM person WHERE id = ?", 1)
	a.see("bytes", bytes, err)
	texts, err := engine.QueryString("SELECT * FROM person WHERE id < ?", 3)
	a.see("strings", texts, err)
	values, err := engine.QueryInterface("SELECT * FROM person WHERE id < ?", 3)
	a.see("values", values, err)
	texts, err = engine.QueryString("SELECT 1 AS i, 1.5 AS f, 't' AS t, x'00ff' AS b, NULL AS n, date('2026-01-02') AS d")
	a.see("literals", texts, err)

	rows, err := engine.Where("id < 4").Rows(new(xormPerson))
	a.ok(err)
	for rows.Next() {
		var p xormPerson
		a.see("row", rows.Scan(&p), p.Name, p.Born)
	}
	a.see("end", rows.Err(), rows.Close())
	a.see("iterate", engine.Where("id > 10").Iterate(new(xormPerson), func(i int, bean any) error {
		a.see("item", i, bean.(*xormPerson).Name)
		if i == 2 {
			return errors.New("enough")
		}
		return nil
	}))
	a.see("buffered", engine.BufferSize(5).Iterate(new(xormPerson), func(i int, bean any) error {
		a.see("item", i, bean.(*xormPerson).Name)
		return nil
	}))
}

func xormUpdates(a *app, engine *xorm.Engine) {
	a.chapter("updates")
	var p xormPerson
	_, err := engine.ID(1).Get(&p)
	a.ok(err)
	stale := p
	p.Height = 1.7
	n, err := engine.ID(1).Update(&p)
	a.see("update", n, err, p.Revision)
	stale.Height = 1
	n, err = engine.ID(1).Update(&stale)
	a.see("a stale version", n, err)
	n, err = engine.ID(2).Cols("age", "admin").Update(&xormPerson{Revision: 1})
	a.see("zeros", n, err)
	n, err = engine.Table("person").Where("age < ?", 3).Update(map[string]any{"nick": "young", "seen": 9})
	a.see("map", n, err)
	n, err = engine.NoAutoCondition().Where("id = 2").Incr("age", 3).SetExpr("nick", "upper(name)").Update(new(xormPerson))
	a.see("expressions", n, err)
	n, err = engine.ID(5).Unscoped().Delete(new(xormPerson))
	a.see("delete", n, err)
	n, err = engine.Delete(&xormPerson{Name: "p11"})
	a.see("delete by example", n, err)
	n, err = engine.Unscoped().Count(new(xormPerson))
	a.see("count", n, err)
	values, err := engine.QueryInterface("SELECT id, name, age, nick, seen, height, revision, gone > 0 AS gone FROM person ORDER BY id")
	a.see("all", values, err)
}

func xormTransactions(a *app, engine *xorm.Engine) {
	a.chapter("transactions")
	count := func() int64 {
		n, err := engine.Count(new(xormCity))
		a.ok(err)
		return n
	}
	for _, commit := range []bool{true, false} {
		session := engine.NewSession()
		a.ok(session.Begin())
		_, err := session.Insert(&xormCity{Name: fmt.Sprint("commit ", commit)})
		a.ok(err)
		n, err := session.Count(new(xormCity))
		a.see("inside", n, err, count(), session.IsInTx())
		if commit {
			a.ok(session.Commit())
		} else {
			a.ok(session.Rollback())
		}
		a.ok(session.Close())
		a.see("after", count())
	}
	result, err := engine.Transaction(func(session *xorm.Session) (any, error) {
		_, err := session.Exec("DELETE FROM city")
		a.ok(err)
		return "result", errors.New("no")
	})
	a.see("failed", result, err, count())
	engine.SetDefaultTxOptions(&sql.TxOptions{Isolation: sql.LevelReadUncommitted})
	_, err = engine.Transaction(func(*xorm.Session) (any, error) { return nil, nil })
	a.fails("isolation", err)
	engine.SetDefaultTxOptions(&sql.TxOptions{ReadOnly: true})
	_, err = engine.Transaction(func(session *xorm.Session) (any, error) { return session.Insert(&xormCity{Name: "read only"}) })
	a.fails("read only", err)
	engine.SetDefaultTxOptions(nil)
}

func xormErrors(a *app, engine *xorm.Engine) {
	a.chapter("errors")
	_, err := engine.Insert(&xormCity{Name: "Brno"})
	a.fails("unique", err)
	_, err = engine.Exec("INSERT INTO city (name) VALUES (NULL)")
	a.fails("not null", err)
	a.fails("no table", engine.Table("nowhere").Find(&[]xormCity{}))
	a.fails("no column", engine.Where("nope = 1").Find(&[]xormCity{}))
	_, err = engine.Query("SELEC")
	a.fails("syntax", err)
	_, err = engine.QueryInterface("SELECT abs(-9223372036854775808)")
	a.fails("in iteration", err)
	_, err = engine.Where("id = ?", 1, 2).Get(new(xormCity))
	a.fails("arguments", err)
	_, err = engine.Prepare().Where("id = ?", 1).Get(new(xormCity))
	a.see("prepared", err)
}

func xormMetas(a *app, engine *xorm.Engine) {
	a.chapter("metas")
	tables, err := engine.DBMetas()
	a.ok(err)
	slices.SortFunc(tables, func(x, y *schemas.Table) int { return strings.Compare(x.Name, y.Name) })
	for _, table := range tables {
		a.see("table", table.Name, table.PrimaryKeys, table.AutoIncrement)
		for _, c := range table.Columns() {
			a.see("column", c.Name, c.SQLType, c.Length, c.Length2, c.Nullable, c.Default, c.DefaultIsEmpty, c.IsPrimaryKey, c.IsAutoIncrement)
		}
		for _, name := range sortedKeys(table.Indexes) {
			index := table.Indexes[name]
			a.see("index", name, index.Type, index.Cols, index.IsRegular)
		}
	}
	exist, err := engine.Dialect().IsColumnExist(engine.DB(), context.Background(), "person", "nick")
	a.see("column exists", exist, err)
	var dump strings.Builder
	a.ok(engine.DumpTables(tables, &dump))
	// The dump has indexes in random order, because xorm keeps them in a map, and contains
	// the time of the dump and of soft deletion.
	for _, line := range slices.Sorted(strings.Lines(dump.String())) {
		if !strings.HasPrefix(line, "/*") && !strings.Contains(line, "'p11'") {
			a.see("dump", line)
		}
	}
}

func xormCancelled(a *app, engine *xorm.Engine) {
	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(context.Background())
	rows, err := engine.Context(ctx).SQL("WITH RECURSIVE n(id, name) AS (SELECT 1, 'x' UNION ALL SELECT id + 1, name FROM n) SELECT * FROM n").Rows(new(xormCity))
	a.ok(err)
	for rows.Next() {
		cancel()
	}
	a.see("rows", gaveUp(rows.Err()), rows.Close())
	cancel()
	_, err = engine.Context(ctx).Insert(&xormCity{Name: "late"})
	a.fails("insert", err)
	a.fails("find", engine.Context(ctx).Find(&[]xormCity{}))
	session := engine.NewSession().Context(ctx)
	a.fails("begin", session.Begin())
	a.see("close", session.Close())
}

func xormConcurrent(a *app, engine *xorm.Engine) {
	a.chapter("concurrent")
	a.parallel(5, func(worker int) error {
		for i := range 5 {
			city := xormCity{Name: fmt.Sprintf("worker %d, %d", worker, i)}
			if _, err := engine.Insert(&city); err != nil {
				return err
			}
			var got xormCity
			if found, err := engine.ID(city.ID).Get(&got); err != nil || !found || got != city {
				return fmt.Errorf("%v: got %v, %t, %w", city, got, found, err)
			}
		}
		return nil
	})
	var cities []string
	a.ok(engine.Table("city").Cols("name").OrderBy("name").Find(&cities))
	a.see("cities", cities)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
