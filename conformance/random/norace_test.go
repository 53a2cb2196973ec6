//go:build !race

package random

// checks is the number of sessions that each test plays.
const checks = "500"
