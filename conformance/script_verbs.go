package conformance

import "database/sql"

// A verb is a way to execute a query.
type verb struct {
	group string
	name  string
	query bool // returns rows
	do    func(p *player, text string, args ...any)
}

var verbs = []verb{
	{"db", "db.Exec", false, func(p *player, text string, args ...any) {
		p.result(p.db.ExecContext(p.ctx, text, args...))
	}},
	{"db", "db.Query", true, func(p *player, text string, args ...any) {
		p.read(p.db.QueryContext(p.ctx, text, args...))
	}},
	{"row", "db.QueryRow", true, func(p *player, text string, args ...any) {
		var id, name any
		err := p.db.QueryRowContext(p.ctx, text, args...).Scan(&id, &name)
		p.say("row %v %s: %s", id, name, showError(err))
	}},
	{"conn", "conn.Exec", false, func(p *player, text string, args ...any) {
		if conn := p.take(); conn != nil {
			defer func() { p.say("conn.Close: %s", showError(conn.Close())) }()
			p.result(conn.ExecContext(p.ctx, text, args...))
		}
	}},
	{"conn", "conn.Query", true, func(p *player, text string, args ...any) {
		if conn := p.take(); conn != nil {
			p.read(conn.QueryContext(p.ctx, text, args...))
			p.say("conn.Close: %s", showError(conn.Close()))
		}
	}},
	{"stmt", "db.Prepare, stmt.Exec", false, func(p *player, text string, args ...any) {
		stmt, err := p.db.PrepareContext(p.ctx, text)
		p.say("prepare: %s", showError(err))
		if err == nil {
			defer func() { p.say("stmt.Close: %s", showError(stmt.Close())) }()
			p.result(stmt.ExecContext(p.ctx, args...))
			p.result(stmt.ExecContext(p.ctx, args...))
		}
	}},
	{"stmt", "db.Prepare, stmt.Query", true, func(p *player, text string, args ...any) {
		stmt, err := p.db.PrepareContext(p.ctx, text)
		p.say("prepare: %s", showError(err))
		if err == nil {
			defer func() { p.say("stmt.Close: %s", showError(stmt.Close())) }()
			p.read(stmt.QueryContext(p.ctx, args...))
		}
	}},
	{"stmt", "conn.Prepare, stmt.Exec", false, func(p *player, text string, args ...any) {
		if conn := p.take(); conn != nil {
			defer func() { p.say("conn.Close: %s", showError(conn.Close())) }()
			stmt, err := conn.PrepareContext(p.ctx, text)
			p.say("prepare: %s", showError(err))
			if err == nil {
				defer func() { p.say("stmt.Close: %s", showError(stmt.Close())) }()
				p.result(stmt.ExecContext(p.ctx, args...))
			}
		}
	}},
	{"tx", "tx.Exec", false, func(p *player, text string, args ...any) {
		if tx := p.begin(nil); tx != nil {
			defer tx.Rollback() // in case of a panic
			p.result(tx.ExecContext(p.ctx, text, args...))
			p.say("commit: %s", showError(tx.Commit()))
		}
	}},
	{"tx", "tx.Query", true, func(p *player, text string, args ...any) {
		if tx := p.begin(nil); tx != nil {
			p.read(tx.QueryContext(p.ctx, text, args...))
			p.say("rollback: %s", showError(tx.Rollback()))
		}
	}},
	{"tx", "tx.Prepare, stmt.Exec", false, func(p *player, text string, args ...any) {
		if tx := p.begin(&sql.TxOptions{}); tx != nil {
			defer tx.Rollback() // in case of a panic
			stmt, err := tx.PrepareContext(p.ctx, text)
			p.say("prepare: %s", showError(err))
			if err == nil {
				p.result(stmt.ExecContext(p.ctx, args...))
			}
			p.say("commit: %s", showError(tx.Commit()))
		}
	}},
	{"tx", "tx.Stmt, stmt.Exec", false, func(p *player, text string, args ...any) {
		outer, err := p.db.PrepareContext(p.ctx, text)
		p.say("prepare: %s", showError(err))
		if err != nil {
			return
		}
		defer func() { p.say("stmt.Close: %s", showError(outer.Close())) }()
		if tx := p.begin(nil); tx != nil {
			defer tx.Rollback() // in case of a panic
			stmt := tx.StmtContext(p.ctx, outer)
			p.result(stmt.ExecContext(p.ctx, args...))
			p.say("commit: %s", showError(tx.Commit()))
		}
	}},
}
