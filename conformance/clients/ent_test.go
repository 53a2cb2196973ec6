package clients

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/dialect/sql/sqljson"
	"entgo.io/ent/schema/field"
)

// entUser is a short form of what ent generates for a node.
type entUser struct {
	ID      int              `sql:"id"`
	Name    string           `sql:"name"`
	Age     stdsql.NullInt64 `sql:"age"`
	Email   *string          `sql:"email"`
	Active  bool             `sql:"active"`
	Score   float64          `sql:"score"`
	Created time.Time        `sql:"created"`
	Avatar  []byte           `sql:"avatar"`
	Meta    json.RawMessage  `sql:"meta"`
}

// entUserColumns returns a new slice, because ent writes into the slices that it gets.
func entUserColumns() []string {
	return []string{"id", "name", "age", "email", "active", "score", "created", "avatar", "meta"}
}

// entTables returns what ent generates for a schema of users with pets and groups.
func entTables() (users, pets, groups, members *schema.Table) {
	id := func() *schema.Column { return &schema.Column{Name: "id", Type: field.TypeInt, Increment: true} }
	users = schema.NewTable("users").AddPrimary(id()).
		AddColumn(&schema.Column{Name: "name", Type: field.TypeString, Size: 50, Unique: true}).
		AddColumn(&schema.Column{Name: "age", Type: field.TypeInt, Nullable: true}).
		AddColumn(&schema.Column{Name: "email", Type: field.TypeString, Nullable: true}).
		AddColumn(&schema.Column{Name: "active", Type: field.TypeBool, Default: true}).
		AddColumn(&schema.Column{Name: "score", Type: field.TypeFloat64, Default: 1.5}).
		AddColumn(&schema.Column{Name: "created", Type: field.TypeTime}).
		AddColumn(&schema.Column{Name: "avatar", Type: field.TypeBytes, Nullable: true}).
		AddColumn(&schema.Column{Name: "meta", Type: field.TypeJSON, Nullable: true})
	users.AddIndex("user_age_email", false, []string{"age", "email"})
	pets = schema.NewTable("pets").AddPrimary(id()).
		AddColumn(&schema.Column{Name: "name", Type: field.TypeString, Default: "unknown"}).
		AddColumn(&schema.Column{Name: "kind", Type: field.TypeEnum, Enums: []string{"cat", "dog"}, Default: "cat"}).
		AddColumn(&schema.Column{Name: "owner_id", Type: field.TypeInt, Nullable: true})
	owner, _ := pets.Column("owner_id")
	pets.AddForeignKey(&schema.ForeignKey{Symbol: "pets_users_pets", Columns: []*schema.Column{owner}, RefTable: users, RefColumns: users.PrimaryKey, OnDelete: schema.SetNull})
	groups = schema.NewTable("groups").AddPrimary(id()).AddColumn(&schema.Column{Name: "name", Type: field.TypeString})
	group, user := &schema.Column{Name: "group_id", Type: field.TypeInt}, &schema.Column{Name: "user_id", Type: field.TypeInt}
	members = schema.NewTable("group_users").AddPrimary(group).AddPrimary(user)
	members.AddForeignKey(&schema.ForeignKey{Symbol: "group_users_group_id", Columns: []*schema.Column{group}, RefTable: groups, RefColumns: groups.PrimaryKey, OnDelete: schema.Cascade})
	members.AddForeignKey(&schema.ForeignKey{Symbol: "group_users_user_id", Columns: []*schema.Column{user}, RefTable: users, RefColumns: users.PrimaryKey, OnDelete: schema.Cascade})
	return users, pets, groups, members
}

func entProgram(a *app) {
	ctx := context.Background()
	drv := sql.OpenDB(dialect.SQLite, a.db)
	entMigration(a, ctx, drv)
	entCreates(a, ctx, drv)
	entQueries(a, ctx, drv)
	entGraph(a, ctx, drv)
	entUpdates(a, ctx, drv)
	entTransactions(a, ctx, drv)
	entErrors(a, ctx, drv)
	entCancelled(a, drv)
	entConcurrent(a, ctx, drv)
}

func entMigration(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("migration")
	users, pets, groups, members := entTables()
	for range 2 {
		m, err := schema.NewMigrate(drv)
		a.ok(err)
		a.ok(m.Create(ctx, users, pets, groups, members))
	}
	// The next version of the program has one more column and index, and no group names.
	users, pets, groups, members = entTables()
	pets.AddColumn(&schema.Column{Name: "weight", Type: field.TypeFloat64, Nullable: true})
	pets.AddIndex("pet_name_kind", true, []string{"name", "kind"})
	groups.Columns = groups.Columns[:1]
	m, err := schema.NewMigrate(drv, schema.WithDropColumn(true), schema.WithDropIndex(true), schema.WithApplyHook(func(next schema.Applier) schema.Applier {
		return next
	}))
	a.ok(err)
	a.ok(m.Create(ctx, users, pets, groups, members))
	rows, err := a.db.QueryContext(ctx, "SELECT type, name, sql FROM sqlite_schema ORDER BY name")
	a.rows("schema", rows, err)
	rows, err = a.db.QueryContext(ctx, "PRAGMA foreign_key_list(group_users)")
	a.rows("foreign keys", rows, err)
}

func entCreates(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("creates")
	created := time.Date(2026, 5, 6, 7, 8, 9, 10_000_000, time.Local)
	user := func(name string, fields ...*sqlgraph.FieldSpec) *sqlgraph.CreateSpec {
		spec := sqlgraph.NewCreateSpec("users", sqlgraph.NewFieldSpec("id", field.TypeInt))
		spec.SetField("name", field.TypeString, name)
		spec.SetField("created", field.TypeTime, created)
		spec.Fields = append(spec.Fields, fields...)
		return spec
	}
	a8m := user("a8m", &sqlgraph.FieldSpec{Column: "age", Type: field.TypeInt, Value: 30}, &sqlgraph.FieldSpec{Column: "email", Type: field.TypeString, Value: "a@example.org"},
		&sqlgraph.FieldSpec{Column: "active", Type: field.TypeBool, Value: false}, &sqlgraph.FieldSpec{Column: "avatar", Type: field.TypeBytes, Value: []byte{0, 255}},
		&sqlgraph.FieldSpec{Column: "meta", Type: field.TypeJSON, Value: map[string]any{"langs": []string{"go", "c"}, "n": 1}})
	a.ok(sqlgraph.CreateNode(ctx, drv, a8m))
	a.see("created", a8m.ID.Value)
	batch := &sqlgraph.BatchCreateSpec{Nodes: []*sqlgraph.CreateSpec{user("nati"), user("ariel"), user("čeněk")}}
	a.ok(sqlgraph.BatchCreate(ctx, drv, batch))
	for _, n := range batch.Nodes {
		a.see("batch", n.ID.Value)
	}
	upsert := user("nati", &sqlgraph.FieldSpec{Column: "age", Type: field.TypeInt, Value: 20})
	upsert.OnConflict = []sql.ConflictOption{sql.ConflictColumns("name"), sql.ResolveWithNewValues()}
	upsert.OnConflict = append(upsert.OnConflict, sql.ResolveWith(func(u *sql.UpdateSet) { u.SetIgnore("id") }))
	a.ok(sqlgraph.CreateNode(ctx, drv, upsert))
	a.see("upsert", upsert.ID.Value)

	for i, kind := range []string{"cat", "dog", "cat"} {
		pet := sqlgraph.NewCreateSpec("pets", sqlgraph.NewFieldSpec("id", field.TypeInt))
		pet.SetField("name", field.TypeString, fmt.Sprint("pet", i))
		pet.SetField("kind", field.TypeEnum, kind)
		pet.Edges = append(pet.Edges, &sqlgraph.EdgeSpec{Rel: sqlgraph.M2O, Inverse: true, Table: "pets", Columns: []string{"owner_id"},
			Target: &sqlgraph.EdgeTarget{IDSpec: sqlgraph.NewFieldSpec("id", field.TypeInt), Nodes: []driver.Value{i%2 + 1}}})
		a.ok(sqlgraph.CreateNode(ctx, drv, pet))
		a.see("pet", pet.ID.Value)
	}
	group := sqlgraph.NewCreateSpec("groups", sqlgraph.NewFieldSpec("id", field.TypeInt))
	group.Edges = append(group.Edges, &sqlgraph.EdgeSpec{Rel: sqlgraph.M2M, Table: "group_users", Columns: []string{"group_id", "user_id"},
		Target: &sqlgraph.EdgeTarget{IDSpec: sqlgraph.NewFieldSpec("id", field.TypeInt), Nodes: []driver.Value{1, 2, 3}}})
	a.ok(sqlgraph.CreateNode(ctx, drv, group))
	a.see("group", group.ID.Value)
}

// entScan runs a query and scans its rows into dest.
func entScan(a *app, ctx context.Context, drv dialect.ExecQuerier, q sql.Querier, dest any) error {
	query, args := q.Query()
	a.see("query", query, args)
	rows := &sql.Rows{}
	if err := drv.Query(ctx, query, args, rows); err != nil {
		return err
	}
	defer rows.Close()
	return sql.ScanSlice(rows, dest)
}

func entQueries(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("queries")
	b := sql.Dialect(dialect.SQLite)
	users := b.Table("users")
	var all []entUser
	a.ok(entScan(a, ctx, drv, b.Select(entUserColumns()...).From(users).OrderBy("id"), &all))
	a.see("all", all)
	for _, p := range []*sql.Predicate{
		sql.And(sql.GT("age", 10), sql.Not(sql.IsNull("email"))),
		sql.Or(sql.In("name", "nati", "ariel"), sql.HasSuffix("name", "8m")),
		sql.EqualFold("name", "A8M"),
		sql.ContainsFold("name", "ČEN"),
		sql.Like("name", "%_r%"),
		sqljson.ValueContains("meta", "go", sqljson.Path("langs")),
		sqljson.ValueEQ("meta", 1, sqljson.Path("n")),
		sqljson.LenEQ("meta", 2, sqljson.Path("langs")),
		sql.False(),
	} {
		var names []string
		a.ok(entScan(a, ctx, drv, b.Select("name").From(users).Where(p).OrderBy(sql.Desc("name")), &names))
		a.see("names", names)
	}
	pets := b.Table("pets").As("p")
	var stats []struct {
		Name  string
		Pets  int
		First stdsql.NullString
	}
	a.ok(entScan(a, ctx, drv, b.Select(users.C("name"), sql.As(sql.Count(pets.C("id")), "pets"), sql.As(sql.Min(pets.C("name")), "first")).
		From(users).LeftJoin(pets).On(users.C("id"), pets.C("owner_id")).GroupBy(users.C("id")).Having(sql.GTE(sql.Count("*"), 1)).OrderBy(users.C("id")), &stats))
	a.see("stats", stats)
	with := b.With("cats").As(b.Select().From(b.Table("pets")).Where(sql.EQ("kind", "cat")))
	var cats []struct{ ID, Name string }
	a.ok(entScan(a, ctx, drv, b.Select("id", "name").From(b.Table("cats")).Prefix(with).OrderBy("id").Limit(5).Offset(1), &cats))
	a.see("cats", cats)

	rows := &sql.Rows{}
	a.ok(drv.Query(ctx, "SELECT * FROM users ORDER BY id", []any{}, rows))
	types, err := rows.ColumnTypes()
	a.ok(err)
	for _, c := range types {
		nullable, ok := c.Nullable()
		a.see("column", c.Name(), c.DatabaseTypeName(), c.ScanType().String(), nullable, ok)
	}
	for rows.Next() {
		values := make([]any, len(types))
		for i := range values {
			values[i] = new(sql.UnknownType)
		}
		a.see("row", rows.Scan(values...), values)
	}
	a.see("end", rows.Err(), rows.Close())
	rows = &sql.Rows{}
	a.ok(drv.Query(ctx, "SELECT count(*) FROM users", []any{}, rows))
	n, err := sql.ScanInt(rows)
	a.see("count", n, err, rows.Close())
}

func entGraph(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("graph")
	for _, step := range []*sqlgraph.Step{
		sqlgraph.NewStep(sqlgraph.From("users", "id", 1), sqlgraph.To("pets", "id"), sqlgraph.Edge(sqlgraph.O2M, false, "pets", "owner_id")),
		sqlgraph.NewStep(sqlgraph.From("users", "id", 2), sqlgraph.To("groups", "id"), sqlgraph.Edge(sqlgraph.M2M, true, "group_users", "group_id", "user_id")),
	} {
		var ids []int
		a.ok(entScan(a, ctx, drv, sqlgraph.Neighbors(dialect.SQLite, step).Select("id").OrderBy("id"), &ids))
		a.see("neighbors", ids)
	}
	b := sql.Dialect(dialect.SQLite)
	s := b.Select("name").From(b.Table("users"))
	sqlgraph.HasNeighborsWith(s, sqlgraph.NewStep(sqlgraph.From("users", "id"), sqlgraph.To("pets", "id"), sqlgraph.Edge(sqlgraph.O2M, false, "pets", "owner_id")),
		func(s *sql.Selector) { s.Where(sql.EQ(s.C("kind"), "dog")) })
	var names []string
	a.ok(entScan(a, ctx, drv, s, &names))
	a.see("with a dog", names)

	var users []*entUser
	spec := sqlgraph.NewQuerySpec("users", entUserColumns(), sqlgraph.NewFieldSpec("id", field.TypeInt))
	spec.Predicate = func(s *sql.Selector) { s.Where(sql.LT("id", 4)) }
	spec.Order = func(s *sql.Selector) { s.OrderBy("name") }
	spec.Limit = 2
	spec.ScanValues = func(columns []string) ([]any, error) {
		return []any{new(stdsql.NullInt64), new(stdsql.NullString), new(stdsql.NullInt64), new(stdsql.NullString), new(stdsql.NullBool),
			new(stdsql.NullFloat64), new(stdsql.NullTime), new([]byte), new([]byte)}, nil
	}
	spec.Assign = func(columns []string, values []any) error {
		a.see("assign", columns, values)
		users = append(users, &entUser{ID: int(values[0].(*stdsql.NullInt64).Int64), Name: values[1].(*stdsql.NullString).String})
		return nil
	}
	a.ok(sqlgraph.QueryNodes(ctx, drv, spec))
	a.see("nodes", users)
	count, err := sqlgraph.CountNodes(ctx, drv, spec)
	a.see("count", count, err)
}

func entUpdates(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("updates")
	exec := func(q sql.Querier) {
		query, args := q.Query()
		var res sql.Result
		a.ok(drv.Exec(ctx, query, args, &res))
		n, err := res.RowsAffected()
		id, err2 := res.LastInsertId()
		a.see(query, n, err, id, err2)
	}
	b := sql.Dialect(dialect.SQLite)
	exec(b.Update("users").Set("age", 31).Add("score", 0.25).SetNull("email").Where(sql.EQ("name", "a8m")))
	exec(b.Update("users").Set("active", false).Where(sql.GT("id", 100)))
	exec(b.Insert("groups").Default())
	exec(b.Delete("pets").Where(sql.EQ("kind", "dog")))

	update := sqlgraph.NewUpdateSpec("users", entUserColumns(), sqlgraph.NewFieldSpec("id", field.TypeInt))
	update.Predicate = func(s *sql.Selector) { s.Where(sql.IsNull("age")) }
	update.SetField("age", field.TypeInt, 1)
	update.AddField("score", field.TypeFloat64, 2.5)
	n, err := sqlgraph.UpdateNodes(ctx, drv, update)
	a.see("nodes", n, err)
	one := sqlgraph.NewUpdateSpec("users", []string{"id", "name"}, &sqlgraph.FieldSpec{Column: "id", Type: field.TypeInt, Value: 99})
	one.SetField("name", field.TypeString, "nobody")
	one.ScanValues = func([]string) ([]any, error) { return []any{new(int), new(string)}, nil }
	one.Assign = func(_ []string, values []any) error { a.see("assign", values); return nil }
	a.fails("not found", sqlgraph.UpdateNode(ctx, drv, one))
	one.Node.ID.Value = 4
	a.see("node", sqlgraph.UpdateNode(ctx, drv, one))
	n, err = sqlgraph.DeleteNodes(ctx, drv, &sqlgraph.DeleteSpec{Node: &sqlgraph.NodeSpec{Table: "users", ID: sqlgraph.NewFieldSpec("id", field.TypeInt)},
		Predicate: func(s *sql.Selector) { s.Where(sql.EQ("id", 1)) }})
	a.see("deleted", n, err)
	for _, table := range []string{"users", "pets", "groups", "group_users"} {
		rows, err := a.db.QueryContext(ctx, "SELECT * FROM "+table)
		a.rows(table, rows, err)
	}
}

func entTransactions(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("transactions")
	insert := func(e dialect.ExecQuerier) error {
		query, args := sql.Dialect(dialect.SQLite).Insert("groups").Default().Query()
		return e.Exec(ctx, query, args, nil)
	}
	count := func(e dialect.ExecQuerier) int {
		rows := &sql.Rows{}
		a.ok(e.Query(ctx, "SELECT count(*) FROM groups", []any{}, rows))
		defer rows.Close()
		n, err := sql.ScanInt(rows)
		a.ok(err)
		return n
	}
	for _, opts := range []*sql.TxOptions{nil, {Isolation: stdsql.LevelSerializable}, {ReadOnly: true}, {Isolation: stdsql.LevelRepeatableRead}} {
		for _, commit := range []bool{true, false} {
			tx, err := drv.BeginTx(ctx, opts)
			a.see("begin", opts, err)
			if err != nil {
				continue
			}
			a.see("insert", insert(tx), count(tx), count(drv))
			if commit {
				a.see("commit", tx.Commit(), tx.Rollback())
			} else {
				a.see("rollback", tx.Rollback(), tx.Commit())
			}
			a.see("after", count(drv))
		}
	}
	// Session variables are set on one connection, and reset afterwards.
	vars := sql.WithVar(ctx, "cache_size", "-123")
	rows := &sql.Rows{}
	a.see("variable", drv.Query(vars, "PRAGMA cache_size", []any{}, rows))
	if rows.ColumnScanner != nil {
		n, err := sql.ScanInt(rows)
		a.see("variable", n, err, rows.Close())
	}
}

func entErrors(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("errors")
	duplicate := sqlgraph.NewCreateSpec("users", sqlgraph.NewFieldSpec("id", field.TypeInt))
	duplicate.SetField("name", field.TypeString, "nati")
	duplicate.SetField("created", field.TypeTime, time.Unix(0, 0))
	orphan := sqlgraph.NewCreateSpec("pets", sqlgraph.NewFieldSpec("id", field.TypeInt))
	orphan.SetField("owner_id", field.TypeInt, 99)
	for _, err := range []error{
		sqlgraph.CreateNode(ctx, drv, duplicate),
		sqlgraph.CreateNode(ctx, drv, orphan),
		drv.Exec(ctx, "INSERT INTO users (name) VALUES (?)", []any{"x"}, nil),
		drv.Exec(ctx, "SELEC", []any{}, nil),
		drv.Exec(ctx, "SELECT 1", "no arguments", nil),
		drv.Query(ctx, "SELECT 1", []any{}, nil),
		drv.Query(ctx, "SELECT nope FROM users", []any{}, &sql.Rows{}),
	} {
		a.fails("error", err)
		a.see("is", sqlgraph.IsConstraintError(err), sqlgraph.IsUniqueConstraintError(err), sqlgraph.IsForeignKeyConstraintError(err), sqlgraph.IsCheckConstraintError(err))
	}
}

func entCancelled(a *app, drv *sql.Driver) {
	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(context.Background())
	rows := &sql.Rows{}
	a.ok(drv.Query(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", []any{}, rows))
	for rows.Next() {
		cancel()
	}
	a.see("rows", gaveUp(rows.Err()), rows.Close())
	cancel()
	a.fails("exec", drv.Exec(ctx, "DELETE FROM users", []any{}, nil))
	a.fails("query", drv.Query(ctx, "SELECT 1", []any{}, &sql.Rows{}))
	_, err := drv.Tx(ctx)
	a.fails("begin", err)
}

func entConcurrent(a *app, ctx context.Context, drv *sql.Driver) {
	a.chapter("concurrent")
	a.parallel(5, func(worker int) error {
		for i := range 5 {
			spec := sqlgraph.NewCreateSpec("users", sqlgraph.NewFieldSpec("id", field.TypeInt))
			spec.SetField("name", field.TypeString, fmt.Sprintf("worker %d %d", worker, i))
			spec.SetField("created", field.TypeTime, time.Unix(int64(i), 0))
			if err := sqlgraph.CreateNode(ctx, drv, spec); err != nil {
				return err
			}
		}
		return nil
	})
	var names []string
	b := sql.Dialect(dialect.SQLite)
	a.ok(entScan(a, ctx, drv, b.Select("name").From(b.Table("users")).OrderBy("name"), &names))
	a.see("names", names)
}
