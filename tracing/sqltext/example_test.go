package sqltext_test

import (
	"fmt"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A Lexer splits a query into the tokens of SQLite's own tokenizer.
func ExampleLexer() {
	const query = "SELECT [a b] -- names\nFROM t"
	l := sqltext.SQLite.Lexer(query)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		if t.Kind != sqltext.Space {
			fmt.Printf("%q\n", t.Text(query))
		}
	}
	// Output:
	// "SELECT"
	// "[a b]"
	// "-- names"
	// "FROM"
	// "t"
}
