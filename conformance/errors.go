package conformance

// errorsCases are about errors: their values, types and codes.
func errorsCases() []Case { return nil }
