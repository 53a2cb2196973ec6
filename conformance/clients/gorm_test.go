package clients

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type (
	gormCompany struct {
		ID    uint
		Name  string     `gorm:"size:80;uniqueIndex;not null"`
		Users []gormUser `gorm:"foreignKey:CompanyID;constraint:OnDelete:CASCADE"`
	}
	gormUser struct {
		gorm.Model
		Name      string `gorm:"index:idx_name_age,priority:1"`
		Age       uint8  `gorm:"index:idx_name_age,priority:2;check:age < 150"`
		Email     *string
		Born      sql.NullTime
		Admin     bool   `gorm:"not null;default:false"`
		Balance   string `gorm:"type:decimal(12,2);default:0"`
		Avatar    []byte
		Settings  map[string]any `gorm:"serializer:json"`
		LastSeen  int64          `gorm:"serializer:unixtime;type:time"`
		Home      gormAddress    `gorm:"embedded;embeddedPrefix:home_"`
		CompanyID *uint
		Company   *gormCompany
		Profile   *gormProfile   `gorm:"foreignKey:UserID"`
		Orders    []gormOrder    `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
		Languages []gormLanguage `gorm:"many2many:user_languages"`
	}
	gormAddress struct {
		Street string
		City   sql.NullString
	}
	gormProfile struct {
		ID     uint
		UserID uint `gorm:"unique"`
		Bio    string
	}
	gormOrder struct {
		ID     uint
		UserID uint
		Number string `gorm:"uniqueIndex:order_number"`
		Total  float64
		Placed time.Time
	}
	gormLanguage struct {
		Code string `gorm:"primaryKey;size:5"`
		Name string
	}
)

// BeforeCreate is a hook that queries the database, as many hooks do.
func (o *gormOrder) BeforeCreate(tx *gorm.DB) error {
	if o.Total < 0 {
		return errors.New("the total of an order is negative")
	}
	if o.Number == "" {
		var n int64
		if err := tx.Model(&gormOrder{}).Count(&n).Error; err != nil {
			return err
		}
		o.Number = fmt.Sprintf("A-%03d", n+1)
	}
	return nil
}

func gormProgram(a *app) {
	var seconds atomic.Int64
	cfg := &gorm.Config{
		Logger:         logger.Discard,
		TranslateError: true,
		NowFunc: func() time.Time {
			return time.Date(2026, 3, 4, 5, 6, int(seconds.Add(1)), 8_000_000, time.Local)
		},
	}
	db, err := gorm.Open(gormlite.OpenDB(a.db), cfg)
	a.ok(err)

	gormMigration(a, db)
	gormCreates(a, db)
	gormQueries(a, db)
	gormRelations(a, db)
	gormUpdates(a, db)
	gormTransactions(a, db)
	gormErrors(a, db)
	gormColumns(a, db)
	gormAlterColumn(a, db)
	gormPrepared(a, db)
	gormCancelled(a, db)
	gormConcurrent(a, db)
}

func gormMigration(a *app, db *gorm.DB) {
	a.chapter("migration")
	models := []any{&gormCompany{}, &gormUser{}, &gormProfile{}, &gormOrder{}, &gormLanguage{}}
	for range 2 {
		a.ok(db.AutoMigrate(models...))
		gormSchema(a, db)
	}
	m := db.Migrator()
	a.see("has", m.HasTable(&gormUser{}), m.HasTable("nowhere"), m.HasColumn(&gormUser{}, "HomeCity"), m.HasColumn(&gormUser{}, "nope"),
		m.HasIndex(&gormUser{}, "idx_name_age"), m.HasConstraint(&gormUser{}, "Orders"), m.CurrentDatabase())
	tables, err := m.GetTables()
	slices.Sort(tables)
	a.see("tables", tables, err)
	indexes, err := m.GetIndexes(&gormUser{})
	a.see("indexes", err)
	for _, i := range indexes {
		unique, ok := i.Unique()
		a.see("index", i.Name(), i.Columns(), unique, ok)
	}
}

func gormSchema(a *app, db *gorm.DB) {
	var schema []struct{ Type, Name, SQL string }
	a.ok(db.Raw("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").Scan(&schema).Error)
	for _, s := range schema {
		// GORM writes constraints in random order, because it keeps them in a map.
		parts := strings.Split(strings.TrimSuffix(s.SQL, ")"), ",CONSTRAINT ")
		slices.Sort(parts[1:])
		a.see("schema", s.Type, s.Name, parts)
	}
}

func gormCreates(a *app, db *gorm.DB) {
	a.chapter("creates")
	email := "ada@example.org"
	ada := gormUser{
		Name: "Ada", Age: 36, Email: &email, Admin: true, Balance: "12.34", Avatar: []byte{0, 1, 255},
		Born:     sql.NullTime{Time: time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC), Valid: true},
		Settings: map[string]any{"theme": "dark", "n": 3, "list": []any{1.5, nil, true}}, LastSeen: 1_700_000_000,
		Home:      gormAddress{Street: "St James's Square", City: sql.NullString{String: "London", Valid: true}},
		Company:   &gormCompany{Name: "Analytical Engines"},
		Profile:   &gormProfile{Bio: "first"},
		Orders:    []gormOrder{{Total: 10.5, Placed: time.Unix(1, 2_000_000)}, {Number: "B-1", Total: 20}},
		Languages: []gormLanguage{{"en", "English"}, {"fr", "French"}},
	}
	res := db.Create(&ada)
	a.ok(res.Error)
	a.see("with associations", res.RowsAffected, ada)

	users := []gormUser{{Name: "Bob", Age: 20}, {Name: "Cid", Age: 30, CompanyID: ada.CompanyID}, {Name: "Dot", Age: 40, Avatar: []byte{}}}
	res = db.Create(&users)
	a.ok(res.Error)
	a.see("batch", res.RowsAffected, users)
	var many []gormUser
	for i := range 25 {
		many = append(many, gormUser{Name: fmt.Sprintf("user%02d", i), Age: uint8(i)})
	}
	res = db.CreateInBatches(&many, 10)
	a.ok(res.Error)
	a.see("in batches", res.RowsAffected, many[0].ID, many[24].ID)
	res = db.Model(&gormUser{}).Create(map[string]any{"Name": "map", "Age": 1, "Email": clause.Expr{SQL: "lower(?)", Vars: []any{"MAP@EXAMPLE.ORG"}}})
	a.see("from a map", res.Error, res.RowsAffected)
	res = db.Select("Name").Create(&gormUser{Name: "selected", Age: 99})
	a.see("selected", res.Error, res.RowsAffected)

	upsert := gormLanguage{"en", "British"}
	res = db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"name"})}).Create(&upsert)
	a.see("upsert", res.Error, res.RowsAffected, upsert)
	res = db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]gormLanguage{{"en", "lost"}, {"de", "German"}})
	a.see("do nothing", res.Error, res.RowsAffected)
	var first gormLanguage
	res = db.Attrs(gormLanguage{Name: "Czech"}).FirstOrCreate(&first, gormLanguage{Code: "cs"})
	a.see("first or create", res.Error, res.RowsAffected, first)
	res = db.FirstOrInit(&first, gormLanguage{Code: "xx"})
	a.see("first or init", res.Error, res.RowsAffected, first)
	returned := gormCompany{Name: "Returned"}
	a.ok(db.Clauses(clause.Returning{}).Create(&returned).Error)
	a.see("returning", returned)
}

func gormQueries(a *app, db *gorm.DB) {
	a.chapter("queries")
	var user gormUser
	a.ok(db.First(&user).Error)
	a.see("first", user)
	var last gormUser
	a.ok(db.Last(&last).Error)
	a.see("last", last)
	var users []gormUser
	res := db.Where("age BETWEEN ? AND ?", 20, 24).Or(&gormUser{Name: "Ada"}).Order("name desc").Find(&users)
	a.see("where", res.Error, res.RowsAffected, users)
	a.ok(db.Where(map[string]any{"name": []string{"Bob", "Cid"}}).Not("age > ?", 25).Find(&users).Error)
	a.see("in", users)
	a.ok(db.Where("name LIKE @p AND age > @a", sql.Named("p", "user%"), sql.Named("a", 20)).Limit(2).Offset(1).Order("id").Find(&users).Error)
	a.see("named", users)
	var names []string
	a.ok(db.Model(&gormUser{}).Where("age < ?", 5).Order("age").Pluck("name", &names).Error)
	a.see("pluck", names)
	var count int64
	a.ok(db.Model(&gormUser{}).Distinct("company_id").Count(&count).Error)
	a.see("count", count)
	var maps []map[string]any
	a.ok(db.Table("gorm_users").Where("id < 4").Find(&maps).Error)
	a.see("maps", maps)
	var one map[string]any
	a.ok(db.Table("gorm_users").Select("upper(name) AS n, age * 2 AS d, born, admin, home_city, last_seen").Take(&one).Error)
	a.see("map", one)
	var groups []struct {
		CompanyID sql.NullInt64
		Mean      float64
		Oldest    uint8
		Newest    string
	}
	a.ok(db.Model(&gormUser{}).Select("company_id, avg(age) mean, max(age) oldest, max(created_at) newest").
		Group("company_id").Having("count(*) > ?", 1).Order("company_id").Scan(&groups).Error)
	a.see("groups", groups)
	a.ok(db.Where("age > (?)", db.Model(&gormUser{}).Select("avg(age) * 2")).Order("id").Find(&users).Error)
	a.see("subquery", users)

	rows, err := db.Model(&gormUser{}).Where("id <= 3").Rows()
	a.ok(err)
	for rows.Next() {
		var u gormUser
		a.ok(db.ScanRows(rows, &u))
		var orders int64
		a.ok(db.Model(&gormOrder{}).Where("user_id = ?", u.ID).Count(&orders).Error)
		a.see("row", u.Name, u.Email, orders)
	}
	a.see("rows", rows.Err(), rows.Close())

	batches := 0
	res = db.Select("id", "name").Where("name LIKE 'user%'").FindInBatches(&users, 10, func(tx *gorm.DB, batch int) error {
		batches++
		a.see("batch", batch, len(users), users[0].Name)
		return tx.Model(&users).Update("balance", fmt.Sprint(batch)).Error
	})
	a.see("batches", res.Error, res.RowsAffected, batches)
	a.ok(db.Raw("SELECT name, balance FROM gorm_users WHERE balance > ? ORDER BY id LIMIT 3", 1).Scan(&users).Error)
	a.see("raw", users)
	generic, err := gorm.G[gormLanguage](db).Where("code <> ?", "de").Order("code").Find(context.Background())
	a.see("generic", generic, err)
}

func gormRelations(a *app, db *gorm.DB) {
	a.chapter("relations")
	var user gormUser
	a.ok(db.Preload("Orders", func(db *gorm.DB) *gorm.DB { return db.Order("total DESC") }).Preload(clause.Associations).First(&user, 1).Error)
	a.see("preload", user)
	var users []gormUser
	a.ok(db.Joins("Company").Joins("Profile").Where("Company.name IS NOT NULL").Order("gorm_users.id").Find(&users).Error)
	a.see("joins", users)
	var companies []gormCompany
	a.ok(db.Preload("Users.Languages").Preload("Users.Orders", "total > ?", 15).Order("id").Find(&companies).Error)
	a.see("nested", companies)
	languages := func() *gorm.Association { return db.Model(&user).Association("Languages") }
	a.ok(languages().Append(&gormLanguage{"la", "Latin"}))
	a.ok(languages().Delete(&gormLanguage{Code: "fr"}))
	a.see("association", languages().Count(), user.Languages)
	a.ok(languages().Replace([]gormLanguage{{"cs", "Czech"}, {"de", "German"}}))
	a.see("replaced", languages().Count(), user.Languages)
	a.ok(languages().Clear())
	a.see("cleared", languages().Count())
	var found []gormOrder
	a.ok(db.Model(&user).Where("total > 15").Association("Orders").Find(&found))
	a.see("orders", found)
}

func gormUpdates(a *app, db *gorm.DB) {
	a.chapter("updates")
	var user gormUser
	a.ok(db.First(&user, 2).Error)
	user.Age, user.Email, user.Settings = 21, new("bob@example.org"), map[string]any{"z": nil}
	res := db.Save(&user)
	a.see("save", res.Error, res.RowsAffected, user)
	res = db.Model(&user).Updates(map[string]any{"age": gorm.Expr("age + ?", 5), "admin": true, "email": nil})
	a.see("updates", res.Error, res.RowsAffected)
	res = db.Model(&gormUser{}).Where("age < ?", 3).Update("home_city", "Brno")
	a.see("update", res.Error, res.RowsAffected)
	res = db.Model(&user).Clauses(clause.Returning{Columns: []clause.Column{{Name: "age"}, {Name: "home_city"}}}).UpdateColumn("home_city", "Prague")
	a.see("returning", res.Error, res.RowsAffected, user)
	res = db.Delete(&gormUser{}, "name = ?", "user24")
	a.see("soft delete", res.Error, res.RowsAffected)
	var gone gormUser
	a.fails("not found", db.First(&gone, "name = ?", "user24").Error)
	a.ok(db.Unscoped().First(&gone, "name = ?", "user24").Error)
	a.see("unscoped", gone)
	var deleted []gormUser
	res = db.Unscoped().Clauses(clause.Returning{}).Where("name IN ?", []string{"user23", "user24"}).Delete(&deleted)
	a.see("deleted", res.Error, res.RowsAffected, deleted)
	a.fails("no condition", db.Delete(&gormUser{}).Error)
	res = db.Exec("UPDATE gorm_users SET balance = balance + ? WHERE id = ?", 1, 1)
	a.see("exec", res.Error, res.RowsAffected)
}

func gormTransactions(a *app, db *gorm.DB) {
	a.chapter("transactions")
	count := func(db *gorm.DB) (n int64) {
		a.ok(db.Model(&gormLanguage{}).Count(&n).Error)
		return n
	}
	a.see("before", count(db))
	err := db.Transaction(func(tx *gorm.DB) error {
		a.ok(tx.Create(&gormLanguage{"a1", "outer"}).Error)
		err := tx.Transaction(func(tx *gorm.DB) error {
			a.ok(tx.Create(&gormLanguage{"a2", "inner"}).Error)
			a.see("inside", count(tx))
			return errors.New("changed our mind")
		})
		a.see("inner", err, count(tx))
		a.see("second inner", tx.Transaction(func(tx *gorm.DB) error { return tx.Create(&gormLanguage{"a3", "inner"}).Error }))
		return nil
	})
	a.see("nested", err, count(db))
	a.fails("rolled back", db.Transaction(func(tx *gorm.DB) error {
		a.ok(tx.Where("1 = 1").Delete(&gormLanguage{}).Error)
		a.see("deleted", count(tx))
		return tx.Create(&gormCompany{Name: "Returned"}).Error
	}))
	a.see("after", count(db))

	tx := db.Begin()
	a.ok(tx.Create(&gormLanguage{"b1", "b"}).Error)
	a.ok(tx.SavePoint("here").Error)
	a.ok(tx.Create(&gormLanguage{"b2", "b"}).Error)
	a.ok(tx.RollbackTo("here").Error)
	a.see("no such savepoint", tx.RollbackTo("there").Error)
	a.ok(tx.Commit().Error)
	a.see("savepoint", count(db))
	a.fails("ended", tx.Commit().Error)
	a.fails("used after its end", tx.Create(&gormLanguage{"b3", "b"}).Error)

	for _, opts := range []sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSerializable}, {Isolation: sql.LevelReadCommitted}} {
		tx := db.Begin(&opts)
		a.see(fmt.Sprint("begin ", opts), tx.Error)
		if tx.Error == nil {
			a.see("write", tx.Create(&gormLanguage{"c" + opts.Isolation.String()[:1], "c"}).Error)
			a.see("rollback", tx.Rollback().Error)
		}
	}
	a.see("a panic's rollback", func() (r any) {
		defer func() { r = recover() }()
		return db.Transaction(func(tx *gorm.DB) error {
			a.ok(tx.Create(&gormLanguage{"p", "p"}).Error)
			panic("in a transaction")
		})
	}(), count(db))
}

func gormErrors(a *app, db *gorm.DB) {
	a.chapter("errors")
	config := *db.Config
	config.TranslateError = false
	untranslated := db.Session(&gorm.Session{})
	untranslated.Config = &config
	for _, db := range []*gorm.DB{db, untranslated} {
		for _, failure := range []struct {
			what string
			err  error
		}{
			{"unique", db.Create(&gormCompany{Name: "Analytical Engines"}).Error},
			{"primary key", db.Create(&gormLanguage{Code: "cs"}).Error},
			{"check", db.Create(&gormUser{Name: "Methuselah", Age: 200}).Error},
			{"foreign key", db.Create(&gormOrder{UserID: 999, Number: "x"}).Error},
			{"hook", db.Create(&gormOrder{UserID: 1, Total: -1}).Error},
			{"no such", db.Table("nowhere").Find(&[]gormUser{}).Error},
			{"syntax", db.Exec("SELEC").Error},
			{"no column", db.Where("nope = 1").Find(&[]gormUser{}).Error},
			{"not found", db.Take(&gormUser{}, 12345).Error},
			{"bad argument", db.Where("name = ?", make(chan int)).Find(&[]gormUser{}).Error},
			{"not null", db.Exec("INSERT INTO gorm_companies (name) VALUES (NULL)").Error},
		} {
			a.fails(failure.what, failure.err)
			a.see("is", errors.Is(failure.err, gorm.ErrDuplicatedKey), errors.Is(failure.err, gorm.ErrForeignKeyViolated),
				errors.Is(failure.err, gorm.ErrCheckConstraintViolated), errors.Is(failure.err, gorm.ErrRecordNotFound))
		}
	}
}

func gormColumns(a *app, db *gorm.DB) {
	a.chapter("columns")
	for _, model := range []any{&gormCompany{}, &gormUser{}, &gormOrder{}, &gormLanguage{}} {
		types, err := db.Migrator().ColumnTypes(model)
		a.ok(err)
		for _, c := range types {
			typ, tok := c.ColumnType()
			key, kok := c.PrimaryKey()
			auto, aok := c.AutoIncrement()
			length, lok := c.Length()
			precision, scale, dok := c.DecimalSize()
			nullable, nok := c.Nullable()
			unique, uok := c.Unique()
			value, vok := c.DefaultValue()
			scan := "none"
			if c.ScanType() != nil {
				scan = c.ScanType().String()
			}
			a.see("column", c.Name(), c.DatabaseTypeName(), scan, typ, tok, key, kok, auto, aok, length, lok, precision, scale, dok, nullable, nok, unique, uok, value, vok)
		}
	}
}

// gormAlterColumn changes a parent table to which a cascading child refers. SQLite has no
// statement for that. GORM turns foreign keys off, drops the table and creates another in its
// place. If foreign keys were on during the drop, the child's rows would be deleted.
func gormAlterColumn(a *app, db *gorm.DB) {
	a.chapter("alter column")
	type Parent struct {
		ID   uint
		Note string `gorm:"size:10"`
	}
	type Child struct {
		ID       uint
		ParentID uint
		Parent   Parent `gorm:"constraint:OnDelete:CASCADE"`
	}
	a.ok(db.AutoMigrate(&Parent{}))
	a.ok(db.AutoMigrate(&Child{}))
	for i := range uint(5) {
		a.ok(db.Create(&Parent{Note: fmt.Sprint(i)}).Error)
		a.ok(db.Omit("Parent").Create(&[]Child{{ParentID: i + 1}, {ParentID: i + 1}}).Error)
	}
	count := func() (n int64) {
		a.ok(db.Model(&Child{}).Count(&n).Error)
		return n
	}
	enforced := func() (on bool) {
		a.ok(db.Raw("PRAGMA foreign_keys").Scan(&on).Error)
		return on
	}
	kept := func() {
		if n := count(); n != 10 || !enforced() {
			a.stop("%d of 10 children are left, foreign keys enforced: %t", n, enforced())
		}
	}
	kept()
	{
		type Parent struct {
			ID   uint
			Note string `gorm:"size:200;not null;default:none"`
			More sql.NullFloat64
		}
		m := db.Migrator()
		a.ok(m.AlterColumn(&Parent{}, "Note"))
		kept()
		a.ok(db.AutoMigrate(&Parent{}))
		kept()
		a.see("added", m.HasColumn(&Parent{}, "More"))
		a.ok(m.RenameColumn(&Parent{}, "more", "extra"))
		var all []map[string]any
		a.ok(db.Table("parents").Find(&all).Error)
		a.see("renamed", all)
		a.ok(m.RenameColumn(&Parent{}, "extra", "more"))
		types, err := m.ColumnTypes(&Parent{})
		a.ok(err)
		for _, c := range types {
			length, ok := c.Length()
			a.see("column", c.Name(), c.DatabaseTypeName(), c.ScanType().String(), length, ok)
		}
	}
	gormSchema(a, db)
	var check []map[string]any
	a.ok(db.Raw("PRAGMA foreign_key_check").Scan(&check).Error)
	a.see("violations", check)
	a.ok(db.Delete(&Parent{}, 1).Error)
	a.see("cascade", count())
	a.ok(db.Migrator().DropTable(&Parent{}))
	a.see("parents dropped", count(), enforced())
}

func gormPrepared(a *app, db *gorm.DB) {
	a.chapter("prepared")
	db = db.Session(&gorm.Session{PrepareStmt: true})
	for id := range 4 {
		var user gormUser
		err := db.Take(&user, id).Error
		a.see("take", err, user.Name)
		a.see("update", db.Model(&gormUser{}).Where("id = ?", id).UpdateColumn("age", gorm.Expr("age + 1")).RowsAffected)
	}
	a.see("transaction", db.Transaction(func(tx *gorm.DB) error {
		var user gormUser
		if err := tx.Take(&user, 1).Error; err != nil {
			return err
		}
		a.see("take", user.Age)
		return tx.Model(&user).UpdateColumn("age", 50).Error
	}))
	a.ok(db.Exec("ALTER TABLE gorm_companies ADD COLUMN vat TEXT DEFAULT 'none'").Error)
	var companies []map[string]any
	a.ok(db.Table("gorm_companies").Find(&companies).Error)
	a.see("after a change of schema", companies)
	if kept, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
		kept.Close()
	}
}

func gormCancelled(a *app, db *gorm.DB) {
	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(context.Background())
	rows, err := db.WithContext(ctx).Raw("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n").Rows()
	a.ok(err)
	for rows.Next() {
		cancel()
	}
	a.see("rows", gaveUp(rows.Err()), rows.Close())
	cancel()
	a.fails("find", db.WithContext(ctx).Find(&[]gormUser{}).Error)
	a.fails("create", db.WithContext(ctx).Create(&gormLanguage{Code: "zz"}).Error)
	a.fails("transaction", db.WithContext(ctx).Transaction(func(*gorm.DB) error { return nil }))
	a.see("usable", db.Take(&gormLanguage{}, "code = 'zz'").Error)
}

func gormConcurrent(a *app, db *gorm.DB) {
	a.chapter("concurrent")
	a.parallel(5, func(worker int) error {
		for i := range 5 {
			code := fmt.Sprintf("%d-%d", worker, i)
			if err := db.Create(&gormLanguage{Code: code, Name: strings.Repeat("x", i)}).Error; err != nil {
				return err
			}
			var l gormLanguage
			if err := db.Take(&l, "code = ?", code).Error; err != nil {
				return err
			}
			if err := db.Model(&l).Update("name", l.Name+"!").Error; err != nil {
				return err
			}
		}
		return nil
	})
	var languages []gormLanguage
	a.ok(db.Order("code").Find(&languages).Error)
	a.see("languages", languages)
}
