package conformance

import "testing"

// A script is a program played on scripted drivers.
type script struct{}

func (s *script) compare(t *testing.T, target Target) string { return "" }
