package driver

import (
	"context"
	"reflect"

	"github.com/ncruces/go-sqlite3"
)

// prepareToLast has SQLite prepare a statement once more, and know that it will be
// kept. Else it would take of the little memory that a connection has for what is
// soon gone, without which to prepare any other takes half as long again. The plain
// driver cannot be asked to, but lets its statement be exchanged for another; if ever
// it does not, this one stays.
// https://sqlite.org/c3ref/c_prepare_dont_log.html, https://sqlite.org/malloc.html#lookaside
func (s *session) preparePersistent(ctx context.Context, st *cachedStmt) {
	field := embeddedStmt(st.base)
	if !field.IsValid() {
		return
	}
	raw := s.baseConn.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	persistent, _, err := raw.PrepareFlags(st.query, sqlite3.PREPARE_PERSISTENT)
	if err != nil || persistent == nil {
		return
	}
	transient := field.Interface().(*sqlite3.Stmt)
	field.Set(reflect.ValueOf(persistent))
	transient.Close()
}

// embeddedStmt is where a statement of the plain driver has SQLite's, or not valid.
func embeddedStmt(base baseStmt) reflect.Value {
	v := reflect.ValueOf(base)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	field := v.Elem().FieldByName("Stmt")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*sqlite3.Stmt]() || !field.CanSet() {
		return reflect.Value{}
	}
	return field
}
