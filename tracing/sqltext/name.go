package sqltext

import "strings"

// Unquote returns the name that a token stands for: without its quotes, and with each doubled
// quote as one. It returns a name without quotes unchanged. It allocates only for a doubled
// quote.
func Unquote(written string) string {
	if len(written) < 2 {
		return written
	}
	quote := written[:1]
	switch quote {
	case "'", `"`, "`":
	case "[":
		return written[1 : len(written)-1]
	default:
		return written
	}
	name := written[1 : len(written)-1]
	if strings.Contains(name, quote) {
		name = strings.ReplaceAll(name, quote+quote, quote)
	}
	return name
}

// Fold returns a name in lower case, for use as a key. SQLite treats two names as the same if
// Fold returns the same for both. Only ASCII letters have a case for SQLite. Fold allocates
// only if it changes the name.
func Fold(name string) string {
	for i := range len(name) {
		if isUpper(name[i]) {
			b := []byte(name)
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return name
}

// EqualFold reports whether a and b are equal except for the case of ASCII letters. Unlike
// [strings.EqualFold], and like SQLite, it distinguishes "ſ" from "s".
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// HasPrefixFold reports whether s begins with prefix, except for the case of ASCII letters.
func HasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && EqualFold(s[:len(prefix)], prefix)
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func lower(c byte) byte {
	if isUpper(c) {
		c |= 0x20
	}
	return c
}
