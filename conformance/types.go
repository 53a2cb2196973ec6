package conformance

// typesCases are about types: of arguments, values and columns.
func typesCases() []Case { return nil }
