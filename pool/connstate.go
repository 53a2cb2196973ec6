package pool

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// isChanged reports whether a reader has changed since it was opened. On a watched reader, the
// authorizer has reported every statement that might have changed it. Otherwise the program has
// an authorizer of its own, and isChanged compares connState. Its callers do that only if a
// statement has been prepared since. A cached statement could change the connection only
// through a function of the program.
func (c *conn) isChanged() bool {
	return c.Changed() || !c.initial.watched && connState(c.SQLite()) != c.initial.state
}

// connState describes the parts of a connection that a query can change. It takes about 100 µs.
//
// It does not contain the busy timeout. With tracing.Config.Details, a handler of package
// driver replaces the busy timeout most of the time.
func connState(raw *sqlite3.Conn) string {
	var b strings.Builder
	b.WriteString(attached(raw))
	for _, name := range [...]string{
		"analysis_limit", "automatic_index", "cache_size", "cache_spill", "cell_size_check", "checkpoint_fullfsync",
		"count_changes", "defer_foreign_keys", "empty_result_callbacks", "foreign_keys", "full_column_names", "fullfsync",
		"hard_heap_limit", "ignore_check_constraints", "journal_size_limit", "legacy_alter_table", "locking_mode",
		"max_page_count", "query_only", "read_uncommitted", "recursive_triggers", "reverse_unordered_selects",
		"secure_delete", "short_column_names", "soft_heap_limit", "synchronous", "temp_store", "threads",
		"trusted_schema", "wal_autocheckpoint", "writable_schema",
	} {
		describe(&b, raw, "PRAGMA "+name)
	}
	describe(&b, raw, "SELECT 'a' LIKE 'A'") // because PRAGMA case_sensitive_like cannot be read
	describe(&b, raw, "SELECT type, name, sql FROM sqlite_temp_schema")
	return b.String()
}

// recordCapabilities records what the writer can prepare, if it may be able to prepare more
// than a reader. That is so if the program has had its connection: in Config.Init, in a hook,
// or by Raw (raws).
func (p *Pool) recordCapabilities(raw *sqlite3.Conn, raws bool) {
	if p.plan.readers == 0 || !raws && p.cfg.Init == nil && p.cfg.Hooks.AfterConnect == nil {
		p.routing.writerCapabilities.Store(nil)
		return
	}
	has := capabilities(raw)
	p.routing.writerCapabilities.Store(&has)
}

// writerHasMore reports whether the writer may be able to prepare a query that reader cannot.
func (p *Pool) writerHasMore(reader *conn) (more bool) {
	writers := p.routing.writerCapabilities.Load()
	if writers != nil {
		reader.Lease().Use(func() { more = capabilities(reader.SQLite()) != *writers })
	}
	return more
}

// capabilities describes what queries can name on a connection outside its main database. It
// takes about 300 µs.
func capabilities(raw *sqlite3.Conn) string {
	var b strings.Builder
	b.WriteString(attached(raw))
	describe(&b, raw, "SELECT name, narg FROM pragma_function_list WHERE NOT builtin ORDER BY 1, 2")
	describe(&b, raw, "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma\\_%' ESCAPE '\\' ORDER BY 1")
	describe(&b, raw, "SELECT name FROM pragma_collation_list ORDER BY 1")
	describe(&b, raw, "SELECT name FROM sqlite_temp_schema ORDER BY 1")
	return b.String()
}

// describe appends the results of a query, or its error.
func describe(b *strings.Builder, raw *sqlite3.Conn, query string) {
	err := row(raw, query, func(st *sqlite3.Stmt) {
		for i := range st.ColumnCount() {
			b.WriteString(st.ColumnText(i))
			b.WriteByte(0)
		}
	})
	if err != nil {
		b.WriteString(err.Error())
	}
	b.WriteByte('\n')
}
