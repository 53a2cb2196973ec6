package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"testing/synctest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

func rowsKinds() []kinds {
	extremes := []fake.ConnKind{fake.ConnOf("none"), fake.ConnOf("all with contexts")}
	return slices.Concat(
		combine([]fake.ConnKind{fake.ConnOf("none"), fake.ConnOf("Queryer"), fake.ConnOf("all with contexts")}, fake.StmtKinds[:2], fake.RowsKinds...),
		combine(extremes, fake.StmtKinds[2:3], fake.RowsOf("all")))
}

// kindsOfRowsCases read rows of all kinds in all ways.
func kindsOfRowsCases() []Case {
	var cases []Case
	add := func(name, rule string, sets int, play func(*player)) {
		cases = append(cases, Case{Name: name, Rule: rule, script: &script{kinds: rowsKinds, sets: sets, play: play}})
	}

	readAll := func(p *player) {
		for _, v := range verbs {
			if v.query {
				p.step(v.name, func() { v.do(p, "q ?", 1) })
			}
		}
	}
	add("one result set", "Rows are read with the types of their columns, as far as the driver knows them.", 1, readAll)
	add("two result sets", "There is a second result set if the driver's rows support it.", 2, readAll)
	add("three result sets", "Result sets are read to the last.", 3, readAll)
	add("asked for another set", "The driver is asked for another result set as often as on the bare driver.", 2, func(p *player) {
		p.AsksForSets = true
		readAll(p)
	})

	query := func(name, rule string, do func(*player, *sql.Rows)) {
		add(name, rule, 2, func(p *player) {
			for range 2 { // the second round shows the state of the connection
				p.step("query", func() {
					rows, err := p.db.QueryContext(p.ctx, "q ?", 1)
					p.say("query: %s", showError(err))
					do(p, rows)
					p.say("end: %s, %s", showError(rows.Err()), showError(rows.Close()))
				})
			}
		})
	}
	query("closed at once", "Rows may be closed before they are read.", func(*player, *sql.Rows) {})
	query("closed early", "Rows may be closed before they are exhausted.", func(p *player, rows *sql.Rows) {
		rows.Next()
		p.scan(rows)
	})
	query("skipped to the next set", "A result set need not be read to its end.", func(p *player, rows *sql.Rows) {
		rows.Next()
		p.say("next set: %t", rows.NextResultSet())
		p.columns(rows)
		p.say("next: %t", rows.Next())
		p.scan(rows)
	})
	query("cancelled between rows", "Rows are closed when their context ends.", func(p *player, rows *sql.Rows) {
		rows.Next()
		p.cancel()
		synctest.Wait()
		p.scan(rows)
		p.say("next: %t, %t", rows.Next(), rows.NextResultSet())
	})
	query("scanned in all ways", "The driver's rows scan columns if they can. Otherwise database/sql does.", func(p *player, rows *sql.Rows) {
		rows.Next()
		var id, name any
		p.say("any: %s %v %s", showError(rows.Scan(&id, &name)), id, name)
		var bytes []byte
		var n sql.NullString
		p.say("bytes: %s %s %v", showError(rows.Scan(&bytes, &n)), bytes, n)
		var raw sql.RawBytes
		p.say("raw: %s %s", showError(rows.Scan(&id, &raw)), raw)
		p.say("next: %t", rows.Next())
		var number int
		p.say("number: %s", showError(rows.Scan(&id, &number)))
		p.say("one: %s", showError(rows.Scan(&id)))
	})

	secondTime := func(_ context.Context, n int) error {
		if n == 1 {
			return fake.ErrFault
		}
		return nil
	}
	for _, how := range []struct {
		name string
		what string
		hook fake.Hook
	}{
		{"failing", "fails", fake.Fail(fake.ErrFault)},
		{"failing as bad", "returns ErrBadConn", fake.Fail(driver.ErrBadConn)},
		{"failing the second time", "fails the second time", secondTime},
	} {
		for _, at := range []struct {
			op   string
			what string
		}{
			{"rows.Next", "going to the next row"},
			{"rows.NextResultSet", "going to the next result set"},
			{"rows.Close", "closing rows"},
			{"rows.ScanColumn", "scanning a column in the driver"},
		} {
			add(at.op+" "+how.name, fmt.Sprintf("Where %s %s, the rows end as on the bare driver.", at.what, how.what), 2, func(p *player) {
				for _, v := range verbs {
					if v.query {
						p.On(how.hook, at.op)
						p.step(v.name, func() { v.do(p, "q ?", 1) })
						p.Off()
						p.step(v.name+" after that", func() { v.do(p, "q ?", 1) })
					}
				}
			})
		}
	}
	return cases
}
