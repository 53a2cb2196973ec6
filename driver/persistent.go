package driver

import (
	"context"
	"reflect"

	"github.com/ncruces/go-sqlite3"
)

// preparePersistent prepares a cached statement again with SQLITE_PREPARE_PERSISTENT, so
// that it does not use lookaside memory. A connection has little of that memory, and
// without it preparing any other statement takes 50% longer. The plain driver has no option
// for this, but its statement can be exchanged. If a later version does not allow that, the
// first statement stays. https://sqlite.org/c3ref/c_prepare_dont_log.html,
// https://sqlite.org/malloc.html#lookaside
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

// embeddedStmt returns the field of a plain driver's statement that holds SQLite's
// statement. The result is invalid if there is no such field.
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
