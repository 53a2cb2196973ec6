//go:build race

package random

// checks is how many sessions each test plays: the race detector makes each
// several times as long, and sees the same in all.
const checks = "150"
