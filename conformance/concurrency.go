package conformance

// concurrencyCases are about many goroutines, and many connections.
func concurrencyCases() []Case { return nil }
