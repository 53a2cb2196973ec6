package conformance

// transactionsCases are about transactions: isolation, commit, rollback, what they leave.
func transactionsCases() []Case { return nil }
