package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	longestName = 200  // characters of a name or summary
	longestID   = 64   // characters of an ID; also in a request
	longestText = 2000 // characters of a statement, a reason or a plan's step
)

// names decides how names are shown, and makes IDs.
type names struct {
	hide bool
	key  [32]byte // random, so that nobody can find a name by guessing
}

func newNames(hide bool) *names {
	n := &names{hide: hide}
	_, _ = rand.Read(n.key[:]) // never fails
	return n
}

// id returns an ID for the nth pool of this name.
func (n *names) id(name string, nth int) string { return n.sum("id", strconv.Itoa(nth), name)[:12] }

// of returns a name for people. kind is what has the name, such as pool.
func (n *names) of(kind, name string) string {
	if n.hide && name != "" {
		return kind + " " + n.sum(kind, name)[:6]
	}
	return visible(name, longestName)
}

// owner is of for an owner. The pool's own names are no secrets.
func (n *names) owner(name string) string {
	if name == "Backup" || name == "Checkpoint" {
		return name
	}
	return n.of("owner", name)
}

func (n *names) sum(parts ...string) string {
	h := hmac.New(sha256.New, n.key[:])
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// reason returns the text of a reason. If names are hidden, it leaves out what is in quotes and
// what looks like a path.
func (n *names) reason(text string) string {
	if n.hide {
		text = withoutPaths(withoutQuoted(text))
	}
	return visible(text, longestText)
}

// withoutQuoted replaces everything in double quotes, as %q writes it. If the last quote is not
// closed, the rest is replaced too.
func withoutQuoted(text string) string {
	var b strings.Builder
	in, escaped := false, false
	for _, r := range text {
		switch {
		case in && escaped:
			escaped = false
		case in && r == '\\':
			escaped = true
		case r == '"':
			if in = !in; in {
				b.WriteString("...")
			}
		case !in:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func withoutPaths(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if strings.ContainsAny(word, `/\`) {
			words[i] = "..."
		}
	}
	return strings.Join(words, " ")
}

// visible returns text in which each character can be seen. Others are escaped: line breaks and
// other control characters, those without width or that change the direction of text, unusual
// spaces, and bytes that are no UTF-8. A text of more than most characters is cut.
func visible(text string, most int) string {
	plain := true
	n := 0
	for _, r := range text {
		if n++; r < ' ' || r > '~' || n > most {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	var b strings.Builder
	n = 0
	for i := 0; i < len(text); n++ {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case n == most:
			b.WriteString("…")
			return b.String()
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + hex.EncodeToString([]byte{text[i]}))
		case unicode.IsPrint(r) && !isBlank(r):
			b.WriteString(text[i : i+size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// isBlank reports whether a letter or symbol is shown as nothing: fillers and blank patterns.
func isBlank(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return r >= '\ufe00' && r <= '\ufe0f' || r >= '\U000e0100' && r <= '\U000e01ef' // variation selectors
}

// inOneLine returns a statement with single spaces between its words.
func inOneLine(text string) string {
	return visible(strings.Join(strings.Fields(text), " "), longestText)
}
