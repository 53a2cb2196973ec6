package sqltext

// PragmaAsks reports whether the value of this PRAGMA is the subject of a question, as in
// PRAGMA table_info(t). Such a PRAGMA sets nothing. https://sqlite.org/pragma.html
func PragmaAsks(name string) bool {
	switch Fold(name) {
	case "table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list",
		"foreign_key_list", "foreign_key_check", "integrity_check", "quick_check":
		return true
	}
	return false
}

// IsSessionFunction reports whether this SQLite function returns the effect of its
// connection's last write. No other connection knows that.
// https://sqlite.org/lang_corefunc.html
func IsSessionFunction(name string) bool {
	return EqualFold(name, "changes") || EqualFold(name, "total_changes") || EqualFold(name, "last_insert_rowid")
}

// IsSessionTable reports whether a table shows the state of its connection, and not the
// content of a file. https://sqlite.org/pragma.html#pragfunc
func IsSessionTable(name string) bool {
	return HasPrefixFold(name, "pragma_") || HasPrefixFold(name, "sqlite_temp_")
}
