package sqltext

// PragmaAsks reports whether the value of a PRAGMA of this name is what it asks about, as
// in PRAGMA table_info(t), so that it sets nothing.
// https://sqlite.org/pragma.html
func PragmaAsks(name string) bool {
	switch Fold(name) {
	case "table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list",
		"foreign_key_list", "foreign_key_check", "integrity_check", "quick_check":
		return true
	}
	return false
}

// IsSessionFunction reports whether a function of SQLite's tells what the last write of its
// connection has done, which no other connection knows.
// https://sqlite.org/lang_corefunc.html
func IsSessionFunction(name string) bool {
	return EqualFold(name, "changes") || EqualFold(name, "total_changes") || EqualFold(name, "last_insert_rowid")
}

// IsSessionTable reports whether a table shows its connection, and not what is in a file.
// https://sqlite.org/pragma.html#pragfunc
func IsSessionTable(name string) bool {
	return HasPrefixFold(name, "pragma_") || HasPrefixFold(name, "sqlite_temp_")
}
