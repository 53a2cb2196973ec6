package driver

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A Pragma is a setting of a connection or of its database. https://sqlite.org/pragma.html
type Pragma struct {
	// Name is the pragma's name, with a schema if needed, as in "main.cache_size".
	Name string

	// Value is a number, a word or any other string, without quotes. It is empty for a
	// pragma without a value, such as optimize.
	Value string
}

// parsePragma parses the value of a _pragma parameter: "name", "name=value" or
// "name(value)". The value may be in quotes. Anything else is an [ErrDSN], because the
// plain driver would execute it.
func parsePragma(s string) (Pragma, error) {
	s = strings.TrimSpace(s)
	name, value := s, ""
	if i := strings.IndexAny(s, "=("); i >= 0 {
		name, value = strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:])
		ok := true
		if s[i] == '(' {
			value, ok = strings.CutSuffix(value, ")")
			value = strings.TrimSpace(value)
		}
		if ok {
			value, ok = plainValue(value)
		}
		if !ok || value == "" {
			name = shownPragma(name)
			return Pragma{}, dsnError("the value of pragma %q is not a number, a word or a quoted string: write _pragma=%s(value)", name, name)
		}
	}
	p := Pragma{Name: name, Value: value}
	if err := p.check(); err != nil {
		return Pragma{}, dsnError("%w", err)
	}
	return p, nil
}

// plainValue removes the quotes from a value. ok is false for a value without quotes that
// is neither a number nor a word.
func plainValue(s string) (string, bool) {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		quote := s[:1]
		inner := strings.ReplaceAll(s[1:len(s)-1], quote+quote, "\x00")
		if strings.Contains(inner, quote) {
			return "", false
		}
		return strings.ReplaceAll(inner, "\x00", quote), true
	}
	return s, isWord(s) || isNumber(s)
}

func isWord(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}

// number matches a number as SQLite's grammar allows it in a pragma.
var number = regexp.MustCompile(`^[+-]?(0[xX][0-9a-fA-F]+|([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)$`)

func isNumber(s string) bool { return number.MatchString(s) }

// parseInt parses an integer in SQLite's forms: decimal or hexadecimal.
func parseInt(s string) (int64, error) {
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return strconv.ParseInt(hex, 16, 64)
	}
	return strconv.ParseInt(s, 10, 64)
}

// shownPragma returns the part of a pragma's name and schema that is safe to show in an
// error.
func shownPragma(name string) string {
	schema, bare, ok := strings.Cut(name, ".")
	if !ok {
		return redact.Key(name)
	}
	return redact.Key(schema) + "." + redact.Key(bare)
}

// String returns the pragma in a form that is safe to show in errors.
func (p Pragma) String() string {
	if p.Value == "" {
		return shownPragma(p.Name)
	}
	return shownPragma(p.Name) + "=" + p.shown()
}

// text returns the pragma as a value of _pragma, which is also valid in SQL. It quotes a
// value that is neither a word nor a number, so that SQLite never executes any part of it.
func (p Pragma) text() string {
	switch {
	case p.Value == "":
		return p.Name
	case pragmas[p.key()].kind == secret: // always quoted
	case isNumber(p.Value), isWord(p.Value) && !strings.Contains(p.Value, "-"):
		return p.Name + "(" + p.Value + ")"
	}
	return p.Name + "('" + strings.ReplaceAll(p.Value, "'", "''") + "')"
}

// key returns the name in lower case, without its schema.
func (p Pragma) key() string {
	_, name := p.split()
	return name
}

func (p Pragma) split() (schema, name string) {
	schema, name, ok := strings.Cut(strings.ToLower(p.Name), ".")
	if !ok {
		schema, name = "", schema
	}
	return schema, name
}

// IsMain reports whether the pragma has the given name and applies to the main database.
func (p Pragma) IsMain(name string) bool {
	schema, key := p.split()
	return key == name && (schema == "" || schema == "main")
}

// Int returns the value as a number. ok reports whether it is one.
func (p Pragma) Int() (n int64, ok bool) {
	n, err := parseInt(p.Value)
	return n, err == nil
}

// On reports whether the value is one of SQLite's words for on, or a number other than 0.
func (p Pragma) On() bool {
	on, _ := pragmaInfo{kind: flag}.want(p.Value)
	return on == "1"
}

// check refuses a pragma that cannot take effect, or that SQL could read as something else.
// It does not refuse an unknown name, because a VFS may know it.
func (p Pragma) check() error {
	schema, name := p.split()
	if !isWord(name) || strings.Contains(name, "-") || schema != "" && !isWord(schema) {
		return &PragmaError{Name: shownPragma(p.Name), Hint: "write the name as letters, digits and underscores, after a schema and a dot if need be"}
	}
	if strings.ContainsRune(p.Value, 0) {
		return &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Hint: "the value holds a NUL byte"}
	}
	known, ok := pragmas[name]
	if !ok || p.Value == "" {
		return nil
	}
	if w, _ := known.want(p.Value); name == "defer_foreign_keys" && w == "1" {
		return &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Hint: "it is for the transaction at hand, and off again after each: execute it within the transaction"}
	}
	if _, ok := known.want(p.Value); !ok {
		return &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Hint: "use " + known.values()}
	}
	return nil
}

// shown returns the value in a form that is safe to show in errors: "..." for a secret. The
// value of an unknown pragma counts as a secret, because the name may be a mistyped key
// pragma.
func (p Pragma) shown() string {
	info, ok := pragmas[p.key()]
	switch {
	case p.Value == "":
		return ""
	case !ok || info.kind == secret || info.kind == action:
		return "..."
	}
	if _, ok := info.want(p.Value); ok {
		return p.Value // a number or a known word
	}
	return redact.Value(p.Value)
}

// A pragmaKind says how a pragma's value is written and read back.
type pragmaKind uint8

const (
	unknown pragmaKind = iota
	flag               // on or off; reads 1 or 0
	integer            // reads back as written
	word               // one of words; reads back as words says
	probe              // on or off, but cannot be read back: case_sensitive_like
	spill              // on, off or a number of pages; reads back as 0 or another number
	answer             // only returns information; cannot be set
	action             // does something, or returns information about its argument; not read back
	secret             // a key for the VFS; not read back
)

type pragmaInfo struct {
	kind  pragmaKind
	order int               // when it is applied; see orderKey
	words map[string]string // for word: what each value reads back as
	floor *int64            // for integer: smaller values become this one
	most  int64             // for integer: the maximum; 0 for none
}

// The order in which pragmas are applied:
//   - Keys come first, because nothing can be read without them.
//   - busy_timeout comes before anything that may wait for a lock.
//   - locking_mode comes before the first access, so that a WAL needs no shared memory.
//   - The pragmas that shape the file come before journal_mode, which may write it.
//   - query_only comes last, because it forbids the others.
const (
	orderKey = iota - 6
	orderBusy
	orderLocking
	orderPage // fixed once auto_vacuum or encoding has been read
	orderShape
	orderJournal
	orderRest
	orderLast
)

var (
	zero     = new(int64)
	minusOne = func() *int64 { n := int64(-1); return &n }()
)

// pragmas are the pragmas of this build of SQLite. Those that only return information do
// nothing to a connection. They are of kind answer, or of kind action if they take an
// argument.
var pragmas = map[string]pragmaInfo{
	"key":       {kind: secret, order: orderKey},
	"hexkey":    {kind: secret, order: orderKey},
	"textkey":   {kind: secret, order: orderKey},
	"rekey":     {kind: secret, order: orderKey},
	"hexrekey":  {kind: secret, order: orderKey},
	"textrekey": {kind: secret, order: orderKey},

	"busy_timeout": {kind: integer, order: orderBusy, floor: zero, most: math.MaxInt32},
	"locking_mode": {kind: word, order: orderLocking, words: same("normal", "exclusive")},
	"page_size":    {kind: integer, order: orderPage},
	"encoding": {kind: word, order: orderShape, words: map[string]string{
		"utf-8": "utf-8", "utf8": "utf-8", "utf-16le": "utf-16le", "utf16le": "utf-16le", "utf-16be": "utf-16be", "utf16be": "utf-16be",
		"utf-16": "utf-16le", "utf16": "utf-16le"}},
	"auto_vacuum":  {kind: word, order: orderShape, words: numbered("none", "full", "incremental")},
	"journal_mode": {kind: word, order: orderJournal, words: same("delete", "truncate", "persist", "memory", "wal", "off")},

	"analysis_limit":            {kind: integer},
	"application_id":            {kind: integer},
	"automatic_index":           {kind: flag},
	"cache_size":                {kind: integer},
	"case_sensitive_like":       {kind: probe},
	"cell_size_check":           {kind: flag},
	"checkpoint_fullfsync":      {kind: flag},
	"defer_foreign_keys":        {kind: flag},
	"foreign_keys":              {kind: flag},
	"fullfsync":                 {kind: flag},
	"hard_heap_limit":           {kind: integer},
	"ignore_check_constraints":  {kind: flag},
	"journal_size_limit":        {kind: integer, floor: minusOne},
	"legacy_alter_table":        {kind: flag},
	"max_page_count":            {kind: integer},
	"mmap_size":                 {kind: integer},
	"read_uncommitted":          {kind: flag},
	"recursive_triggers":        {kind: flag},
	"reverse_unordered_selects": {kind: flag},
	"secure_delete":             {kind: word, words: merge(flags, map[string]string{"fast": "2"})},
	"soft_heap_limit":           {kind: integer},
	"synchronous":               {kind: word, words: numbered("off", "normal", "full", "extra")},
	"temp_store":                {kind: word, words: numbered("default", "file", "memory")},
	"threads":                   {kind: integer},
	"trusted_schema":            {kind: flag},
	"user_version":              {kind: integer},
	"wal_autocheckpoint":        {kind: integer, floor: zero},
	"writable_schema":           {kind: word, words: merge(flags, map[string]string{"reset": "0"})},
	"cache_spill":               {kind: spill},
	"schema_version":            {kind: integer},
	"count_changes":             {kind: flag},
	"empty_result_callbacks":    {kind: flag},
	"full_column_names":         {kind: flag},
	"short_column_names":        {kind: flag},

	"collation_list":  {kind: answer},
	"compile_options": {kind: answer},
	"data_version":    {kind: answer},
	"database_list":   {kind: answer},
	"freelist_count":  {kind: answer},
	"function_list":   {kind: answer},
	"lock_status":     {kind: answer},
	"module_list":     {kind: answer},
	"page_count":      {kind: answer},
	"pragma_list":     {kind: answer},

	"foreign_key_list": {kind: action},
	"index_info":       {kind: action},
	"index_list":       {kind: action},
	"index_xinfo":      {kind: action},
	"table_info":       {kind: action},
	"table_list":       {kind: action},
	"table_xinfo":      {kind: action},

	"foreign_key_check":  {kind: action},
	"incremental_vacuum": {kind: action},
	"integrity_check":    {kind: action},
	"optimize":           {kind: action},
	"quick_check":        {kind: action},
	"shrink_memory":      {kind: action},
	"wal_checkpoint":     {kind: action},

	"query_only": {kind: flag, order: orderLast},
}

// flags maps SQLite's words for on and off to the values that they read back as. SQLite
// treats any other word as off; this package refuses it.
var flags = map[string]string{
	"1": "1", "on": "1", "yes": "1", "true": "1",
	"0": "0", "off": "0", "no": "0", "false": "0",
}

// same returns words that read back as they are written.
func same(names ...string) map[string]string {
	words := make(map[string]string)
	for _, name := range names {
		words[name] = name
	}
	return words
}

// numbered returns words that read back as their index, and the indexes themselves.
func numbered(names ...string) map[string]string {
	words := make(map[string]string)
	for i, name := range names {
		n := strconv.Itoa(i)
		words[name], words[n] = n, n
	}
	return words
}

func merge(a, b map[string]string) map[string]string {
	words := make(map[string]string)
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			words[k] = v
		}
	}
	return words
}

// want returns what the given value reads back as, in lower case. ok is false if the pragma
// does not accept the value.
func (p pragmaInfo) want(value string) (string, bool) {
	value = strings.ToLower(value)
	switch p.kind {
	case flag, probe:
		if n, err := parseInt(value); err == nil && n != 0 {
			value = "1"
		}
		w, ok := flags[value]
		return w, ok
	case word:
		w, ok := p.words[value]
		return w, ok
	case spill:
		if off, ok := flags[value]; ok {
			return off, true
		}
		_, err := parseInt(value)
		return "1", err == nil
	case answer:
		return "", false
	case integer:
		n, err := parseInt(value)
		if err != nil {
			return "", false
		}
		if p.most != 0 && n > p.most {
			return "", false
		}
		if p.floor != nil {
			n = max(n, *p.floor)
		}
		return strconv.FormatInt(n, 10), true
	default:
		return value, true
	}
}

// values describes the accepted values, for an error.
func (p pragmaInfo) values() string {
	switch p.kind {
	case flag, probe:
		return "on or off"
	case integer:
		if p.most != 0 {
			return fmt.Sprintf("a whole number up to %d", p.most)
		}
		return "a whole number"
	case spill:
		return "on, off or a number of pages"
	case answer:
		return "it without a value: it cannot be set"
	}
	var names []string
	for name := range p.words {
		names = append(names, name)
	}
	slices.Sort(names)
	return "one of " + strings.Join(names, ", ")
}

// mergePragmas returns the pragmas of both lists in the order in which they are applied. Of
// several with the same name and schema, it keeps the last.
func mergePragmas(config, dsn []Pragma) []Pragma {
	var merged []Pragma
	set := make(map[string]bool)
	for _, p := range slices.Backward(slices.Concat(config, dsn)) {
		schema, name := p.split()
		id := cmp.Or(schema, "main") + "." + name          // without a schema, a pragma applies to main
		if pragmas[name].kind != action && p.Value != "" { // without a value, it only reads
			if set[id] {
				continue
			}
			set[id] = true
		}
		merged = append(merged, p)
	}
	slices.Reverse(merged)
	slices.SortStableFunc(merged, func(p, q Pragma) int {
		return cmp.Compare(pragmas[p.key()].order, pragmas[q.key()].order)
	})
	return merged
}
