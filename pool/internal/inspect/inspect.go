// Package inspect asks a connection of SQLite for its state, for the pool.
package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// Rows executes a query and calls read for each row.
func Rows(raw *sqlite3.Conn, query string, read func(*sqlite3.Stmt)) error {
	st, _, err := raw.Prepare(query)
	if err != nil {
		return err
	}
	defer st.Close()
	for st.Step() {
		read(st)
	}
	return st.Err()
}

// ReadPage makes SQLite read the file. "SELECT 1" would not.
func ReadPage(raw *sqlite3.Conn) error {
	return Rows(raw, "PRAGMA schema_version", func(*sqlite3.Stmt) {})
}

// SchemaVersion returns a number that changes whenever the schema of the main database does.
func SchemaVersion(raw *sqlite3.Conn) (n int64, err error) {
	err = Rows(raw, "PRAGMA schema_version", func(st *sqlite3.Stmt) { n = st.ColumnInt64(0) })
	return n, err
}

// PageSize returns the page size of the main database, in bytes.
func PageSize(raw *sqlite3.Conn) (n int64, err error) {
	err = Rows(raw, "PRAGMA page_size", func(st *sqlite3.Stmt) { n = st.ColumnInt64(0) })
	return n, err
}

// JournalMode returns the journal mode in lower case. ok is false if it is unknown.
func JournalMode(raw *sqlite3.Conn) (mode string, ok bool) {
	err := Rows(raw, "PRAGMA journal_mode", func(st *sqlite3.Stmt) { mode = strings.ToLower(st.ColumnText(0)) })
	return mode, err == nil && mode != ""
}

// connPragmas are the pragmas of a connection that can be read. The first is read first, because
// others reset it.
var connPragmas = [...]string{
	"defer_foreign_keys", "analysis_limit", "automatic_index", "cache_size", "cache_spill", "cell_size_check", "checkpoint_fullfsync",
	"count_changes", "empty_result_callbacks", "foreign_keys", "full_column_names", "fullfsync",
	"hard_heap_limit", "ignore_check_constraints", "journal_size_limit", "legacy_alter_table", "locking_mode",
	"max_page_count", "query_only", "read_uncommitted", "recursive_triggers", "reverse_unordered_selects",
	"secure_delete", "short_column_names", "soft_heap_limit", "synchronous", "temp_store", "threads",
	"trusted_schema", "wal_autocheckpoint", "writable_schema", "busy_timeout",
}

// Pragmas are the values of a connection's pragmas. It takes about 100 µs to read them.
type Pragmas [len(connPragmas)]string

// PragmasOf returns the pragmas of a connection.
func PragmasOf(raw *sqlite3.Conn) (p Pragmas) {
	for i, name := range connPragmas {
		p[i] = Pragma(raw, name)
	}
	p.Restore(raw)
	return p
}

// Pragma returns the value of a pragma, or an empty string if that cannot be read.
func Pragma(raw *sqlite3.Conn, name string) (value string) {
	_ = Rows(raw, "PRAGMA "+name, func(st *sqlite3.Stmt) { value = st.ColumnText(0) })
	return value
}

// Changed returns the names of the pragmas that differ from initial. It leaves out those that are
// not the connection's alone, or not for longer than a transaction.
func (p *Pragmas) Changed(initial *Pragmas) (names []string) {
	for i, name := range connPragmas {
		switch {
		case p[i] == initial[i], name == "defer_foreign_keys", name == "hard_heap_limit", name == "soft_heap_limit":
		case name == "busy_timeout" && (initial[i] == "0" || p[i] == "0"): // a busy handler may replace it
		default:
			names = append(names, name)
		}
	}
	return names
}

// Value returns the value of a pragma in p, or an empty string if p has none.
func (p *Pragmas) Value(name string) string {
	if i := slices.Index(connPragmas[:], name); i >= 0 {
		return p[i]
	}
	return ""
}

// Set changes the value of a pragma in p.
func (p *Pragmas) Set(name, value string) {
	if i := slices.Index(connPragmas[:], name); i >= 0 {
		p[i] = value
	}
}

// Restore sets defer_foreign_keys again, if it was set, because the end of a statement that reads
// the file resets it.
func (p *Pragmas) Restore(raw *sqlite3.Conn) {
	if p[0] == "1" {
		_ = raw.Exec("PRAGMA defer_foreign_keys=on")
	}
}

// AffectsWrites reports whether a pragma affects what a connection writes.
func AffectsWrites(pragma string) bool {
	return pragma == "foreign_keys" || pragma == "ignore_check_constraints" || pragma == "recursive_triggers"
}

// AffectsReads reports whether a pragma affects the results of all queries.
func AffectsReads(pragma string) bool {
	switch pragma {
	case "count_changes", "empty_result_callbacks", "full_column_names", "reverse_unordered_selects", "short_column_names":
		return true
	}
	return false
}

// Attached returns the names and files of a connection's databases. It omits the temporary
// database, which SQLite opens when it is first used.
func Attached(raw *sqlite3.Conn) string {
	var list strings.Builder
	_ = Rows(raw, "PRAGMA database_list", func(st *sqlite3.Stmt) {
		if name := st.ColumnText(1); name != "temp" {
			fmt.Fprintf(&list, "%q %q\n", name, st.ColumnText(2))
		}
	})
	return list.String()
}

// hasTemp reports whether the temporary database is open. To read its schema would open it.
func hasTemp(raw *sqlite3.Conn) (open bool) {
	_ = Rows(raw, "PRAGMA database_list", func(st *sqlite3.Stmt) { open = open || st.ColumnText(1) == "temp" })
	return open
}

// State describes the parts of a connection that a query can change. It takes about 100 µs.
//
// It does not contain the busy timeout. With tracing.Config.Details, a handler of package
// driver replaces the busy timeout most of the time.
func State(raw *sqlite3.Conn) string {
	var b strings.Builder
	b.WriteString(Attached(raw))
	pragmas := PragmasOf(raw)
	pragmas.Set("busy_timeout", "")
	for _, value := range pragmas {
		b.WriteString(value)
		b.WriteByte('\n')
	}
	describe(&b, raw, "SELECT 'a' LIKE 'A'") // because PRAGMA case_sensitive_like cannot be read
	describe(&b, raw, "SELECT type, name, sql FROM sqlite_temp_schema")
	return b.String()
}

// Capabilities describes what queries can name on a connection outside its main database. It
// takes about 300 µs.
func Capabilities(raw *sqlite3.Conn) string {
	var b strings.Builder
	b.WriteString(Attached(raw))
	describe(&b, raw, "SELECT name, narg FROM pragma_function_list WHERE NOT builtin ORDER BY 1, 2")
	describe(&b, raw, "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma\\_%' ESCAPE '\\' ORDER BY 1")
	describe(&b, raw, "SELECT name FROM pragma_collation_list ORDER BY 1")
	if hasTemp(raw) {
		describe(&b, raw, "SELECT name FROM sqlite_temp_schema ORDER BY 1")
	}
	return b.String()
}

// describe appends the results of a query, or its error.
func describe(b *strings.Builder, raw *sqlite3.Conn, query string) {
	err := Rows(raw, query, func(st *sqlite3.Stmt) {
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

// UsesSession reports whether a query calls a function whose result depends on what the connection
// has done, such as last_insert_rowid.
func UsesSession(raw *sqlite3.Conn, query string) (asks bool) {
	const opcode, function = 1, 5
	_ = Rows(raw, "EXPLAIN "+query, func(st *sqlite3.Stmt) {
		if op := st.ColumnText(opcode); op == "Function" || op == "PureFunc" {
			name, _, _ := strings.Cut(st.ColumnText(function), "(")
			asks = asks || sqltext.IsSessionFunction(name)
		}
	})
	return asks
}

// CallOf returns in which call of the operating system an error of this code occurred, such as " in
// a write", if SQLite has the same text for several.
func CallOf(code sqlite3.ExtendedErrorCode) string {
	if call := failedCalls[code]; call != "" {
		return " in a " + call
	}
	return ""
}

// failedCalls describe codes for which SQLite has the same text.
var failedCalls = map[sqlite3.ExtendedErrorCode]string{
	sqlite3.IOERR_WRITE:     "write",
	sqlite3.IOERR_FSYNC:     "sync",
	sqlite3.IOERR_DIR_FSYNC: "sync of the directory",
	sqlite3.IOERR_TRUNCATE:  "truncation",
	sqlite3.IOERR_DELETE:    "removal",
	sqlite3.IOERR_READ:      "read",
	sqlite3.IOERR_SHMSIZE:   "change of the size of the shared memory",
}
