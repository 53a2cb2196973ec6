// Package redact decides which parts of a data source name errors, logs, spans and metrics
// may show. These are the name of the file, and the beginning of a value that cannot be a
// secret. It imports no other package of this module.
//
// A secret may stand in the wrong place: after a "?" that should be an "&", in a mistyped
// key, or in the name of another system's database. So the package shows only what is known
// to be harmless. It does not remove known secrets and show the rest.
//
// This package makes no promise of compatibility yet.
package redact

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// more replaces the hidden rest of a value.
const more = "..."

// The longest words of settings are incremental and unixepoch_milli, with 11 and 15
// characters. The longest key is _ignore_check_constraints, with 25. A number has at most 19
// digits and a sign.
const (
	longestWord   = 16
	longestNumber = 20
	longestKey    = 32
	longestName   = 4096 // no system has a longer name
)

// Value returns the beginning of a setting's value that an error may show. That is a word of
// letters, a number with or without a unit, or one of known in any case. Three dots replace
// the rest, or the whole value if it begins otherwise. They also replace a value that mixes
// letters and digits, because that is more likely a secret than a mistake.
func Value(value string, known ...string) string {
	if value == "" || slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, value) }) {
		return value
	}
	n := run(value, 0, isLetter)
	most := longestWord
	if n == 0 {
		n, most = number(value), longestNumber
	}
	switch {
	case n == 0 || n > most || n < len(value) && (isLetter(value[n]) || isDigit(value[n]) || value[n] >= 0x80):
		return more
	case n < len(value):
		return value[:n] + more
	}
	return value
}

// Key returns the beginning of the name of a parameter or a pragma that an error may show:
// letters and underscores. Three dots replace the rest, or a whole name that is too long or
// has digits.
func Key(key string) string {
	n := run(key, 0, func(c byte) bool { return isLetter(c) || c == '_' })
	switch {
	case n > longestKey || n < len(key) && (isDigit(key[n]) || key[n] >= 0x80):
		return more
	case n < len(key):
		return key[:n] + more
	}
	return key
}

// number returns the length of the number at the start of s, or 0. A number has digits, and
// may have a sign, a fraction and a unit of up to three letters: 1.5, 64MiB.
func number(s string) int {
	n := 0
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	whole := run(s, n, isDigit)
	if whole == n {
		return 0
	}
	n = whole
	if n < len(s) && s[n] == '.' {
		n = run(s, n+1, isDigit)
	}
	if unit := run(s, n, isLetter); unit-n <= 3 {
		n = unit
	}
	return n
}

// run returns the end of the bytes that in accepts, starting at s[i].
func run(s string, i int, in func(byte) bool) int {
	for i < len(s) && in(s[i]) {
		i++
	}
	return i
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// Name returns the name of a database's file as it may be shown. If the name seems to contain
// more than a file name, Name hides that part: the user and password of another system's URL
// or DSN, parameters, and settings such as password=x. The result is not quoted: format it
// with %q or [Text].
func Name(name string) string {
	if len(name) > longestName {
		return more
	}
	if cut := cutUser(name); cut != name {
		return cut
	}
	// A secret that is escaped more than once is still a secret.
	escaped := name
	for range 3 {
		plain, err := url.PathUnescape(escaped)
		if err != nil || plain == escaped {
			return name
		}
		if cutUser(plain) != plain {
			break
		}
		escaped = plain
	}
	return name[:strings.IndexByte(name, '%')] + more
}

// cutUser returns name without a user and a password, as in postgres://user:password@host,
// user:password@tcp(host)/db or user/password@host:1521/db. It also applies cutSettings.
func cutUser(name string) string {
	scheme, rest := "", name
	if i := strings.Index(name, "://"); i >= 0 && cutSettings(name[:i]) == name[:i] {
		scheme, rest = name[:i+3], name[i+3:]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 && (scheme != "" || isUser(rest[:at]) || endsInPort(rest[at+1:])) {
		if strings.ContainsAny(rest[:at], "?&;=") {
			return scheme + more // the @ may be part of the password, or of a parameter
		}
		return scheme + more + cutSettings(rest[at:])
	}
	if scheme != "" {
		authority, _, _ := strings.Cut(rest, "/")
		if i := strings.IndexByte(authority, ':'); i >= 0 && !endsInPort(authority) {
			return scheme + authority[:i] + more
		}
	}
	return scheme + cutSettings(rest)
}

// isUser reports whether s, the part before an @, looks like a user and a password. A file on
// a Windows drive does not.
func isUser(s string) bool {
	i := strings.IndexByte(s, ':')
	return i >= 0 && !(i == 1 && isLetter(s[0]) && len(s) > 2 && (s[2] == '\\' || s[2] == '/'))
}

// endsInPort reports whether the part of s before the first slash is a host and a port.
func endsInPort(s string) bool {
	host, _, _ := strings.Cut(s, "/")
	_, port, ok := strings.Cut(host, ":")
	return ok && port != "" && run(port, 0, isDigit) == len(port)
}

// settings match the start of parameters or settings in a name. If the first byte of a match
// is a separator, it may be shown.
var settings = []*regexp.Regexp{
	regexp.MustCompile(`[?]`),
	regexp.MustCompile(`[&;]\s*[A-Za-z_][A-Za-z0-9_ .-]*=`),
	regexp.MustCompile(`(?i)_pragma\s*[=(]`),
	regexp.MustCompile(`(?i)(?:pass|pwd|secret|token|credential|apikey|api_key|auth)[a-z0-9_]*\s*[=:]`),
	regexp.MustCompile(`(?i)(?:^|[^a-z])(?:hex|text)?(?:re)?key\s*[=:(]`),
}

// cutSettings returns name up to the first setting in it.
func cutSettings(name string) string {
	end := len(name)
	for _, re := range settings {
		if at := re.FindStringIndex(name[:end]); at != nil {
			end = at[0]
		}
	}
	if end == len(name) {
		return name
	}
	if strings.IndexByte("?&;,# ", name[end]) >= 0 {
		end++
	}
	return name[:end] + more
}

// Text returns a name for an error that shows it without quotes. If the name has characters
// that cannot be printed, such as a line break, it escapes them as %q does.
func Text(name string) string {
	if IsPlain(name) {
		return name
	}
	quoted := strconv.Quote(name)
	return quoted[1 : len(quoted)-1]
}

// IsPlain reports whether all characters of a name can be printed.
func IsPlain(name string) bool {
	for _, r := range name {
		if r == '\uFFFD' || !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}

// Error returns err with another text if it contains an [fs.PathError] or an [os.LinkError].
// The text shows their paths through [Name], quoted if necessary. errors.Is and errors.As
// still find err. If the text does not change, Error returns err itself.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		text = strings.ReplaceAll(text, e.Error(), fmt.Sprintf("%s %s: %v", e.Op, path(e.Path), e.Err))
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		text = strings.ReplaceAll(text, e.Error(), fmt.Sprintf("%s %s %s: %v", e.Op, path(e.Old), path(e.New), e.Err))
	}
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// path returns a path for the text of an operating system error. It is quoted only if it
// cannot be printed as it is.
func path(name string) string {
	if IsPlain(name) {
		return Name(name)
	}
	return strconv.Quote(Name(name))
}

// redacted is an error with another text.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }
