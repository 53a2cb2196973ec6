package conformance

// cancellationCases are about contexts that end, before and while they are used.
func cancellationCases() []Case { return nil }
