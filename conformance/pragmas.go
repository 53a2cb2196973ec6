package conformance

// pragmasCases are about settings of connections.
func pragmasCases() []Case { return nil }
