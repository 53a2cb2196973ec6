//go:build !race

package random

// checks is how many sessions each test plays.
const checks = "500"
