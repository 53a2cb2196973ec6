package sqltext

// A Token is a part of the SQL: the bytes from Start up to, but not including, End. It is a
// value without pointers, so that reading SQL allocates nothing.
type Token struct {
	Kind       Kind
	Start, End int
}

// Text returns the token as written. text is the SQL that the token was read from.
func (t Token) Text(text string) string { return text[t.Start:t.End] }

// A Kind is the kind of a token. Tokens that a parser checks individually, such as the
// semicolon, have kinds of their own.
type Kind uint8

const (
	// EOF ends the SQL. It is empty. It stands where the SQL ends for the engine: for SQLite,
	// at the first NUL byte, if there is one.
	EOF Kind = iota

	// Space is white space between tokens, or a byte order mark.
	Space

	// Comment is "-- ..." up to the end of the line, or "/* ... */". An unterminated "/*" is
	// a comment up to the end of the SQL.
	Comment

	// Word is a keyword or an unquoted name. [KeywordOf] tells them apart.
	Word

	// Quoted is a name in quotes: "x", `x` or [x].
	Quoted

	// String is a literal in single quotes. SQLite also accepts it as a name where only a
	// name can stand.
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

	// Illegal is a token that the engine's tokenizer refuses, up to where it would continue:
	// an unterminated quote, a malformed number or blob, or a character that starts no token.
	Illegal
)

// Significant reports whether the parser sees a token of this kind. It does not see white
// space and comments.
func (k Kind) Significant() bool { return k != Space && k != Comment }
