package inspect

import (
	"maps"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// Objects are what queries can name on a connection beside its main database.
type Objects struct {
	attached  map[string]string // databases and their files
	temporary map[string]bool   // tables and views
	triggers  map[string]bool   // temporary ones
	foreign   map[string]bool   // tables of attached databases that main has not
	like      bool              // LIKE is case-sensitive
	tooMany   bool              // some names are missing

	extended   bool // it has the following ones
	functions  map[string]bool
	modules    map[string]bool
	collations string
}

// maxObjects and maxObjectBytes limit the names that are kept of a connection.
const (
	maxObjects     = 10_000
	maxObjectBytes = 1 << 20
)

// NoObjects returns the objects of a connection that has none of its own. like is the value of
// PRAGMA case_sensitive_like.
func NoObjects(like bool) *Objects { return &Objects{like: like} }

// ObjectsOf returns the objects of a connection, without functions, modules and collations. See
// [Objects.Extend] for those.
func ObjectsOf(raw *sqlite3.Conn) *Objects {
	o := &Objects{attached: map[string]string{}, foreign: map[string]bool{}}
	_ = Rows(raw, "PRAGMA database_list", func(st *sqlite3.Stmt) {
		switch name := sqltext.Fold(st.ColumnText(1)); name {
		case "main", "temp":
		default:
			o.attached[name] = st.ColumnText(2)
		}
	})
	if hasTemp(raw) {
		o.temporary = o.names(raw, "SELECT name FROM sqlite_temp_schema WHERE type IN ('table', 'view')")
		o.triggers = o.names(raw, "SELECT name FROM sqlite_temp_schema WHERE type = 'trigger'")
	}
	for name := range o.attached {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		found := o.names(raw, "SELECT name FROM "+quoted+".sqlite_schema AS a WHERE type IN ('table', 'view')"+
			" AND NOT EXISTS (SELECT 1 FROM main.sqlite_schema AS m WHERE m.name = a.name COLLATE nocase)")
		maps.Copy(o.foreign, found)
	}
	o.readLike(raw)
	return o
}

// names returns the names that a query returns.
func (o *Objects) names(raw *sqlite3.Conn, query string) map[string]bool {
	list, bytes := map[string]bool{}, 0
	_ = Rows(raw, query, func(st *sqlite3.Stmt) {
		name := sqltext.Fold(st.ColumnText(0))
		if bytes += len(name); len(list) >= maxObjects || bytes > maxObjectBytes {
			o.tooMany = true
			return
		}
		list[name] = true
	})
	return list
}

// readLike reads whether LIKE is case-sensitive, because PRAGMA case_sensitive_like cannot be read.
func (o *Objects) readLike(raw *sqlite3.Conn) {
	_ = Rows(raw, "SELECT 'a' LIKE 'A'", func(st *sqlite3.Stmt) { o.like = !st.ColumnBool(0) })
}

// Extend adds functions, modules and collations, which takes about 300 µs.
func (o *Objects) Extend(raw *sqlite3.Conn) {
	o.extended = true
	o.functions = o.names(raw, "SELECT name FROM pragma_function_list WHERE NOT builtin")
	o.modules = o.names(raw, "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma\\_%' ESCAPE '\\'")
	var b strings.Builder
	describe(&b, raw, "SELECT name FROM pragma_collation_list ORDER BY 1")
	o.collations = b.String()
}

// Extended reports whether o has functions, modules and collations.
func (o *Objects) Extended() bool { return o.extended }

// Beyond returns the names in o that are not in initial, or nil if there are none. Both must be
// extended, or neither.
func (o *Objects) Beyond(initial *Objects) *route.Names {
	n := &route.Names{
		Schemas:   map[string]bool{},
		Tables:    without(o.temporary, initial.temporary),
		Functions: without(o.functions, initial.functions),
		Like:      o.like != initial.like,
		Any:       o.tooMany && !initial.tooMany,
		Others:    o.collations != initial.collations,
		Triggers:  len(without(o.triggers, initial.triggers)) > 0,
	}
	for name, file := range o.attached {
		if before, ok := initial.attached[name]; !ok || before != file {
			n.Schemas[name] = true
		}
	}
	for _, more := range []map[string]bool{without(o.foreign, initial.foreign), without(o.modules, initial.modules)} {
		maps.Copy(n.Tables, more)
	}
	if len(n.Schemas)+len(n.Tables)+len(n.Functions) == 0 && !n.Like && !n.Any && !n.Others && !n.Triggers {
		return nil
	}
	return n
}

func without(list, others map[string]bool) map[string]bool {
	left := map[string]bool{}
	for name := range list {
		if !others[name] {
			left[name] = true
		}
	}
	return left
}
