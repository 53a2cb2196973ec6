package sqltext

// A Token is a part of a text: the bytes from Start up to, but not including, End.
// It is a value without pointers, so that reading a text allocates nothing.
type Token struct {
	Kind       Kind
	Start, End int
}

// Text returns the token as it is written. text is what the token was read from.
func (t Token) Text(text string) string { return text[t.Start:t.End] }

// A Kind is what a token is. The tokens that a parser looks at one by one, such as
// the semicolon, have kinds of their own.
type Kind uint8

const (
	// EOF ends a text. It is empty, and stands where the text ends for the engine:
	// for SQLite, at the first NUL byte, if there is one.
	EOF Kind = iota

	// Space is white space between tokens, or a byte order mark.
	Space

	// Comment is "-- ..." up to the end of the line, or "/* ... */". A "/*" that nothing
	// closes is a comment up to the end of the text.
	Comment

	// Word is a keyword or an unquoted name. [KeywordOf] tells them apart.
	Word

	// Quoted is a name in quotes: "x", `x` or [x].
	Quoted

	// String is a literal in single quotes. SQLite also takes it for a name where only
	// a name can stand.
	String

	// Blob is x'53'.
	Blob

	// Number is a literal without a sign: 1, 1.5, .5, 1., 1e-3, 0xFF or 1_000.
	Number

	// Parameter is ?, ?1, :a, @a, $a, #a or $a::b(c).
	Parameter

	Semicolon // ;
	LeftParen // (
	RightParen
	Comma
	Dot

	// Operator is any other punctuation, such as <, || or ->>.
	Operator

	// Illegal is what the engine's tokenizer refuses, up to where it would read on: a quote
	// that nothing closes, a malformed number or blob, or a character that starts nothing.
	Illegal
)

// Significant reports whether the parser sees a token of this kind: it does not see
// white space and comments.
func (k Kind) Significant() bool { return k != Space && k != Comment }
