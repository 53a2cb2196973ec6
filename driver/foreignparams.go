package driver

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// This file reads parameters of mattn/go-sqlite3 and modernc.org/sqlite that have a meaning
// here too. So a program keeps its DSN when it changes its driver. Parameters that cannot
// be honored are refused, never ignored.
//
// https://github.com/mattn/go-sqlite3#connection-string
// https://pkg.go.dev/modernc.org/sqlite#Driver.Open

// pragmaParams maps parameters to the pragmas that they set. The values are those of the
// pragma.
var pragmaParams = map[string]string{
	"_auto_vacuum": "auto_vacuum", "_vacuum": "auto_vacuum",
	"_busy_timeout": "busy_timeout", "_timeout": "busy_timeout",
	"_cache_size":          "cache_size",
	"_case_sensitive_like": "case_sensitive_like", "_cslike": "case_sensitive_like",
	"_defer_foreign_keys": "defer_foreign_keys", "_defer_fk": "defer_foreign_keys",
	"_foreign_keys": "foreign_keys", "_fk": "foreign_keys",
	"_ignore_check_constraints": "ignore_check_constraints",
	"_journal_mode":             "journal_mode", "_journal": "journal_mode",
	"_locking_mode": "locking_mode", "_locking": "locking_mode",
	"_query_only":         "query_only",
	"_recursive_triggers": "recursive_triggers", "_rt": "recursive_triggers",
	"_secure_delete": "secure_delete",
	"_synchronous":   "synchronous", "_sync": "synchronous",
	"_writable_schema": "writable_schema",
}

// foreign reads a parameter of another driver. known reports whether it knows the key.
// value is already unescaped.
func (d *dsnParser) foreign(key, value string) (known bool, err error) {
	if pragma, ok := pragmaParams[key]; ok {
		if d.compat != CompatNone && pragma == "defer_foreign_keys" {
			d.deferFK = flags[strings.ToLower(value)] == "1"
			return true, nil
		}
		if value == "default" && pragma == "secure_delete" {
			return true, nil // mattn's word for not setting the pragma
		}
		p := Pragma{Name: pragma, Value: value}
		if value == "" {
			return true, dsnError("the parameter %q has no value: write %s=..., or _pragma=%s(...)", key, key, pragma)
		}
		if err := p.check(); err != nil {
			return true, dsnError("the parameter %q: %w", key, err)
		}
		d.translate(key, p)
		return true, nil
	}
	switch key {
	case "_stmt_cache_size":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return true, dsnError("_stmt_cache_size is %q: use the number of statements that each connection keeps, 0 for none", redact.Value(value))
		}
		if d.cacheSize = n; n == 0 {
			d.cacheSize = -1
		}
	case "_time_format":
		if !slices.Contains(wordsTime, value) && !(d.compat == CompatModernc && slices.Contains(wordsTimeGo, value)) {
			return true, dsnError("_time_format is %q: use %s, or a _timefmt", redact.Value(value), strings.Join(wordsTime, ", "))
		}
		if d.times.format == "" {
			d.times.format = value
		}
	case "_time_integer_format":
		if !slices.Contains(wordsTimeNumber, value) {
			return true, dsnError("_time_integer_format is %q: use %s, or a _timefmt", redact.Value(value), strings.Join(wordsTimeNumber, ", "))
		}
		if d.times.unit == "" {
			d.times.unit = value
		}
	case "_loc", "_timezone":
		if d.compat == CompatNone {
			return true, dsnError("%s is %q, but times are read as they were written: leave it out, and use time.Time.In; or open %q or %q, which support it", key, redact.Value(value), NameMattn, NameModernc)
		}
		loc, err := locationOf(value)
		if err != nil {
			return true, dsnError("%s is %q: use a time zone that the system knows, such as UTC or Europe/Berlin", key, redact.Value(value))
		}
		d.times.zone, d.times.zoneParam = loc, key+"="+url.QueryEscape(value)
	case "_defensive":
		on, ok := flags[strings.ToLower(value)]
		if !ok {
			return true, dsnError("_defensive is %q: use 1 or 0", redact.Value(value))
		}
		d.dbConfig.defensive = on == "1"
	case "_inttotime", "_texttotime":
		on := flags[strings.ToLower(value)] == "1"
		switch {
		case d.compat == CompatModernc && key == "_inttotime":
			d.times.fromInts = on
		case d.compat == CompatModernc:
			d.times.fromTexts = on
		case !on:
			return true, dsnError("%s is %q, but columns declared as a date or time are always read as times: leave it out, or read them as text", key, redact.Value(value))
		}
	case "_dqs":
		on, ok := flags[strings.ToLower(value)]
		if !ok {
			return true, dsnError("_dqs is %q: use 1 or 0", redact.Value(value))
		}
		yes := on == "1"
		d.dbConfig.quotes = &yes
	case "_mutex":
		if lower := strings.ToLower(value); lower != "no" && lower != "full" {
			return true, dsnError("_mutex is %q: leave it out, since database/sql never uses a connection from two goroutines at once", redact.Value(value))
		}
	case "_error_rc":
		// Nothing to do: errors always have SQLite's code.
	default:
		if strings.HasPrefix(key, "_auth") {
			return true, dsnError("the parameter %q is not supported: this build of SQLite has no user authentication; for encryption, name a VFS such as vfs=adiantum", redact.Key(key))
		}
		return false, nil
	}
	return true, nil
}

// translate records the pragma that a parameter sets. As in the other drivers, a short name
// takes precedence over the long one. Of two short names, the first takes precedence.
func (d *dsnParser) translate(key string, p Pragma) {
	alias := key != "_"+p.Name
	i := slices.IndexFunc(d.translated, func(q Pragma) bool { return q.Name == p.Name })
	switch {
	case i < 0:
		d.translated = append(d.translated, p)
	case alias && !d.aliases[p.Name]:
		d.translated[i] = p
	}
	if alias {
		if d.aliases == nil {
			d.aliases = make(map[string]bool)
		}
		d.aliases[p.Name] = true
	}
}
