//go:build race

package random

// checks is the number of sessions that each test plays. With the race detector, each takes
// several times as long, and all exercise the same code.
const checks = "150"
