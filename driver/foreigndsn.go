package driver

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// behaviorParam is the DSN parameter that names the driver whose behavior connections
// imitate. It also marks a DSN that translate has already translated.
const behaviorParam = "_behavior"

// unknownParam is the parameter that translate writes for each parameter without effect.
const unknownParam = "_unknown"

// compatIn returns the driver that the parameter _behavior of a translated DSN names.
func compatIn(name string) (compat Compat) {
	_, query, _ := strings.Cut(name, "?")
	for param := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(param, behaviorParam+"="); ok {
			compat, _ = compatOf(value)
		}
	}
	return compat
}

// translate returns the DSN for "sqlitemw" with the meaning that name has for another
// driver. That driver is in the parameter _compat; without one, it is compat. It returns
// name unchanged for [CompatNone], and if name is already translated.
//
// Parameters known to neither that driver nor SQLite are ignored, as that driver does.
// translate writes an unknownParam for each.
func translate(name string, compat Compat) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", dsnError("it holds a NUL byte, at which SQLite would cut it off: leave it out")
	}
	said, rest, ok, err := splitCompat(name)
	if err != nil {
		return "", err
	}
	if ok {
		name, compat = rest, said
	}
	if int(compat) >= len(compatNames) {
		return "", dsnError("Compat is %v: use CompatNone, CompatMattn or CompatModernc", compat)
	}
	if compat == CompatNone || compatIn(name) != CompatNone {
		return name, nil
	}
	f := &foreignDSN{compat: compat}
	f.read(name)
	if err := f.problems.err(); err != nil {
		return "", err
	}
	return f.render(), nil
}

// splitCompat removes the parameter _compat from name. ok reports whether name has one.
func splitCompat(name string) (compat Compat, rest string, ok bool, err error) {
	before, query, _ := strings.Cut(name, "?")
	params := strings.Split(query, "&")
	i := slices.IndexFunc(params, func(p string) bool { return strings.HasPrefix(p, "_compat=") })
	if i < 0 {
		return 0, name, false, nil
	}
	value := strings.TrimPrefix(params[i], "_compat=")
	if compat, ok = compatOf(value); !ok {
		return 0, name, false, dsnError("_compat is %q: use mattn, modernc or none", redact.Value(value))
	}
	if params = slices.Delete(params, i, i+1); len(params) == 0 {
		return compat, before, true, nil
	}
	return compat, before + "?" + strings.Join(params, "&"), true, nil
}

// A foreignDSN is a DSN of another driver while it is read.
type foreignDSN struct {
	compat   Compat
	path     string     // the file name
	uri      bool       // the name was a URI
	values   url.Values // the driver's parameters
	params   []string   // the parameters of the DSN for "sqlitemw"
	pragmas  []Pragma
	problems problems
}

// read reads a DSN. Both drivers cut a plain file name at its first question mark, except
// one at the start. They pass a name that begins with "file:" to SQLite unchanged.
func (f *foreignDSN) read(name string) {
	f.path = name
	f.values = url.Values{}
	cut := strings.IndexByte(name, '?')
	if cut >= 1 {
		values, err := url.ParseQuery(name[cut+1:])
		if err != nil {
			f.problems.add("the parameters are badly escaped: write a percent sign as %%25, and a semicolon as %%3B")
			return
		}
		f.values = values
		f.path = name[:cut]
	}
	if f.uri = strings.HasPrefix(name, "file:"); f.uri {
		f.readURI(name)
	} else if vfs := f.values.Get("vfs"); vfs != "" {
		f.vfs(vfs)
	}
	f.readOwnParams()
	switch f.compat {
	case CompatMattn:
		f.readMattn()
	case CompatModernc:
		f.readModernc()
	}
}

func (f *foreignDSN) param(key, value string) {
	f.params = append(f.params, url.QueryEscape(key)+"="+url.QueryEscape(value))
}

// vfs records the name of a VFS. The operating system's VFS has another name here, and
// needs none.
func (f *foreignDSN) vfs(name string) {
	if name != "" && name != "unix" && name != "win32" {
		f.param("vfs", name)
	}
}

// readURI reads a URI as SQLite does. https://sqlite.org/uri.html
func (f *foreignDSN) readURI(name string) {
	rest, _, _ := strings.Cut(strings.TrimPrefix(name, "file:"), "#")
	path, query, _ := strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(path, "//"); ok {
		authority, _, _ := strings.Cut(after, "/")
		if authority != "" && authority != "localhost" {
			f.problems.add("the URI names the host %q: write file:relative/path or file:///absolute/path", redact.Name(authority))
			return
		}
		path = after[len(authority):]
	}
	f.path = unescapeURI(path)
	vfs := ""
	var params [][2]string
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		key, value = unescapeURI(key), unescapeURI(value)
		if key == "vfs" {
			vfs = value
		}
		params = append(params, [2]string{key, value})
	}
	for _, p := range params {
		switch key := p[0]; {
		case (key == "psow" || key == "nolock" || key == "immutable") && flags[strings.ToLower(p[1])] == "":
			f.param(key, "0") // SQLite treats any other value as off
		case key == "vfs":
			f.vfs(p[1])
		case fileParams[key], key != "" && vfs != "" && !strings.HasPrefix(key, "_"):
			f.param(key, p[1])
		}
	}
}

// unescapeURI unescapes a part of a URI as SQLite does. A percent sign without two
// hexadecimal digits stands for itself. An escaped NUL byte ends the result.
func unescapeURI(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				if n == 0 {
					return b.String()
				}
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// readOwnParams keeps the parameters of this module, which no other driver has.
func (f *foreignDSN) readOwnParams() {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if key == "_memory_limit" || strings.HasPrefix(strings.ToLower(key), "_pool_") {
			for _, value := range f.values[key] {
				f.param(key, value)
			}
		}
	}
}

// The values that both drivers accept.
var (
	wordsOnOff      = []string{"0", "no", "false", "off", "1", "yes", "true", "on"}
	wordsVacuum     = []string{"0", "none", "1", "full", "2", "incremental"}
	wordsJournal    = []string{"delete", "truncate", "persist", "memory", "wal", "off"}
	wordsLocking    = []string{"normal", "exclusive"}
	wordsDelete     = append(slices.Clone(wordsOnOff), "fast")
	wordsSync       = []string{"0", "off", "1", "normal", "2", "full", "3", "extra"}
	wordsBegin      = []string{"deferred", "immediate", "exclusive"}
	wordsMutex      = []string{"no", "full"}
	wordsTime       = []string{"sqlite", "datetime"}
	wordsTimeGo     = append(slices.Clone(wordsTime), "string_no_monotonic") // only modernc
	wordsTimeNumber = []string{"unix", "unix_milli", "unix_micro", "unix_nano"}
)

// get returns the last of keys that has a value in the DSN, and its value. Short names come
// last in keys, so that they take precedence.
func (f *foreignDSN) get(keys ...string) (key, value string) {
	key = keys[0]
	for _, k := range keys {
		if _, ok := f.values[k]; ok {
			key = k
		}
	}
	return key, f.values.Get(key)
}

// word reads a parameter whose value is one of words, in any letter case.
func (f *foreignDSN) word(words []string, keys ...string) (value string, ok bool) {
	key, value := f.get(keys...)
	if value == "" {
		return "", false
	}
	lower := strings.ToLower(value)
	if !slices.Contains(words, lower) {
		f.problems.add("%s is %q: use one of %s", key, redact.Value(value), strings.Join(words, ", "))
		return "", false
	}
	return lower, true
}

// pragma reads a parameter that sets a pragma.
func (f *foreignDSN) pragma(name string, words []string, keys ...string) {
	if value, ok := f.word(words, keys...); ok {
		f.pragmas = append(f.pragmas, Pragma{Name: name, Value: value})
	}
}

// number reads a parameter that sets a pragma to a number.
func (f *foreignDSN) number(name string, keys ...string) {
	key, value := f.get(keys...)
	if value == "" {
		return
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		f.problems.add("%s is %q: use a whole number", key, redact.Value(value))
		return
	}
	if name == "busy_timeout" && (n < 0 || n > math.MaxInt32) {
		n = 0 // as SQLite reads it
	}
	f.pragmas = append(f.pragmas, Pragma{Name: name, Value: strconv.FormatInt(n, 10)})
}

// location reads a parameter that names a time zone.
func (f *foreignDSN) location(key string) (value string) {
	value = f.values.Get(key)
	if value == "" || f.compat == CompatMattn && strings.EqualFold(value, "auto") {
		return strings.ToLower(value)
	}
	if _, err := time.LoadLocation(value); err != nil {
		f.problems.add("%s is %q: use a time zone that the system knows, such as UTC or Europe/Berlin", key, redact.Value(value))
	}
	return value
}

// boolean reads a parameter with one of the values of strconv.ParseBool.
func (f *foreignDSN) boolean(key string) (on, ok bool) {
	value := f.values.Get(key)
	if value == "" {
		return false, false
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		f.problems.add("%s is %q: use 1, t, true, 0, f or false", key, redact.Value(value))
		return false, false
	}
	return on, true
}

// readMattn reads the parameters of mattn/go-sqlite3.
// https://github.com/mattn/go-sqlite3#connection-string
func (f *foreignDSN) readMattn() {
	for key := range f.values {
		if strings.HasPrefix(key, "_auth") {
			f.problems.add("%s is not supported: this build of SQLite has no user authentication; for encryption, name a VFS such as vfs=adiantum", redact.Key(key))
			break
		}
	}
	f.word(wordsMutex, "_mutex")
	if value, ok := f.word(wordsBegin, "_txlock"); ok {
		f.param("_txlock", value)
	}
	if zone := f.location("_loc"); zone != "" {
		f.param("_loc", zone)
	}
	if value := f.values.Get("_stmt_cache_size"); value != "" {
		if n, err := strconv.Atoi(value); err != nil || n < 0 {
			f.problems.add("_stmt_cache_size is %q: use the number of statements that each connection keeps, 0 for none", redact.Value(value))
		} else {
			f.param("_stmt_cache_size", value)
		}
	}
	f.number("busy_timeout", "_busy_timeout", "_timeout")
	f.pragma("auto_vacuum", wordsVacuum, "_auto_vacuum", "_vacuum")
	f.pragma("case_sensitive_like", wordsOnOff, "_case_sensitive_like", "_cslike")
	if value, ok := f.word(wordsOnOff, "_defer_foreign_keys", "_defer_fk"); ok && flags[value] == "1" {
		f.param("_defer_foreign_keys", "1") // applies to the first transaction
	}
	f.pragma("foreign_keys", wordsOnOff, "_foreign_keys", "_fk")
	f.pragma("ignore_check_constraints", wordsOnOff, "_ignore_check_constraints")
	f.pragma("journal_mode", wordsJournal, "_journal_mode", "_journal")
	f.pragma("locking_mode", wordsLocking, "_locking_mode", "_locking")
	f.pragma("query_only", wordsOnOff, "_query_only")
	f.pragma("recursive_triggers", wordsOnOff, "_recursive_triggers", "_rt")
	f.pragma("secure_delete", wordsDelete, "_secure_delete")
	f.pragma("synchronous", wordsSync, "_synchronous", "_sync")
	f.pragma("writable_schema", wordsOnOff, "_writable_schema")
	f.number("cache_size", "_cache_size")
	f.ignored(mattnParams)
}

// readModernc reads the parameters of modernc.org/sqlite, in the order in which modernc
// applies them. https://pkg.go.dev/modernc.org/sqlite#Driver.Open
func (f *foreignDSN) readModernc() {
	if all := f.values["vfs"]; len(slices.Compact(slices.Sorted(slices.Values(all)))) > 1 {
		f.problems.add("vfs is given more than once, with different values: leave out all but one")
	}
	defensive := false
	if values := f.values["_defensive"]; len(values) > 1 {
		f.problems.add("_defensive is given more than once: leave out all but one")
	} else if len(values) == 1 && values[0] == "" {
		f.problems.add("_defensive is \"\": use 1, t, true, 0, f or false")
	} else if defensive, _ = f.boolean("_defensive"); defensive {
		f.param("_defensive", "1")
	}
	if on, ok := f.boolean("_dqs"); ok && !on {
		f.param("_dqs", "0")
	}
	f.boolean("_error_rc")
	if value := f.values.Get("_time_format"); value != "" {
		if slices.Contains(wordsTimeGo, value) {
			f.param("_time_format", value)
		} else {
			f.problems.add("_time_format is %q: use one of %s", redact.Value(value), strings.Join(wordsTimeGo, ", "))
		}
	}
	if value := f.values.Get("_time_integer_format"); value != "" {
		if slices.Contains(wordsTimeNumber, value) {
			f.param("_time_integer_format", value)
		} else {
			f.problems.add("_time_integer_format is %q: use one of %s", redact.Value(value), strings.Join(wordsTimeNumber, ", "))
		}
	}
	if zone := f.location("_timezone"); zone != "" {
		f.param("_timezone", f.values.Get("_timezone"))
	}
	if value, ok := f.word(wordsBegin, "_txlock"); ok {
		f.param("_txlock", value)
	}
	for _, key := range []string{"_inttotime", "_texttotime"} {
		if on, _ := f.boolean(key); on {
			f.param(key, "1")
		}
	}
	f.number("busy_timeout", "_busy_timeout", "_timeout")
	f.pragma("auto_vacuum", wordsVacuum, "_auto_vacuum", "_vacuum")
	values := slices.Clone(f.values["_pragma"])
	slices.SortStableFunc(values, func(a, b string) int {
		return strings.Compare(strings.TrimSpace(strings.ToLower(a)), strings.TrimSpace(strings.ToLower(b)))
	})
	for _, value := range values {
		p, err := parsePragma(value)
		if err != nil {
			f.problems = append(f.problems, err)
			continue
		}
		f.pragmas = append(f.pragmas, p)
	}
	f.pragma("foreign_keys", wordsOnOff, "_foreign_keys", "_fk")
	f.pragma("journal_mode", wordsJournal, "_journal_mode", "_journal")
	if key, value := f.get("_journal_mode", "_journal"); defensive && strings.EqualFold(value, "off") {
		f.problems.add("%s is off, which _defensive forbids: leave out one of them", key)
	}
	f.pragma("synchronous", wordsSync, "_synchronous", "_sync")
	f.pragma("query_only", wordsOnOff, "_query_only")
	f.ignored(moderncParams)
}

// All parameters that the drivers read.
var (
	mattnParams = []string{"_mutex", "_txlock", "_loc", "_stmt_cache_size", "vfs", "_busy_timeout", "_timeout", "_auto_vacuum", "_vacuum",
		"_case_sensitive_like", "_cslike", "_defer_foreign_keys", "_defer_fk", "_foreign_keys", "_fk", "_ignore_check_constraints",
		"_journal_mode", "_journal", "_locking_mode", "_locking", "_query_only", "_recursive_triggers", "_rt", "_secure_delete",
		"_synchronous", "_sync", "_writable_schema", "_cache_size"}
	moderncParams = []string{"_txlock", "_timezone", "_time_format", "_time_integer_format", "_inttotime", "_texttotime", "_dqs",
		"_defensive", "_error_rc", "vfs", "_pragma", "_busy_timeout", "_timeout", "_auto_vacuum", "_vacuum", "_foreign_keys", "_fk",
		"_journal_mode", "_journal", "_synchronous", "_sync", "_query_only"}
)

// ignored writes an unknownParam for each parameter that the driver ignores.
func (f *foreignDSN) ignored(known []string) {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if !slices.Contains(known, key) && key != "_memory_limit" && !strings.HasPrefix(strings.ToLower(key), "_pool_") && !(f.uri && fileParams[key]) {
			f.param(unknownParam, redact.Key(key))
		}
	}
}

// render returns the translated DSN.
func (f *foreignDSN) render() string {
	params := append(f.params, behaviorParam+"="+f.compat.String())
	for _, p := range f.pragmas {
		params = append(params, "_pragma="+url.QueryEscape(p.text()))
	}
	return "file:" + escapePath(f.path) + "?" + strings.Join(params, "&")
}
