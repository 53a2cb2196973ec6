package conformance

// rowsCases are about reading rows: to the end, in part, in all ways of scanning.
func rowsCases() []Case { return nil }
