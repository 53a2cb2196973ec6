package page

import "github.com/sqlitemw/sqlitemw/tracing"

// StatementsOf returns statements.json for made-up statistics.
func StatementsOf(all []tracing.Statement, hide bool) []byte {
	return takeStatements(all, newNames(hide)).json
}
