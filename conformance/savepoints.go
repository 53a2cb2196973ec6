package conformance

// savepointsCases are about transactions within transactions.
func savepointsCases() []Case { return nil }
