package conformance

// execCases are about executing: texts, arguments, results.
func execCases() []Case { return nil }
