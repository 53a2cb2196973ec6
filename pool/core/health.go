package core

import "time"

// Health is the state of a pool.
type Health uint8

const (
	// HealthUnknown means that the pool has not been checked.
	HealthUnknown Health = iota
	// HealthOK means that the database can be read and is as configured.
	HealthOK
	// HealthDegraded means that the database can be read, but something is wrong. See the
	// reasons.
	HealthDegraded
	// HealthDown means that the database cannot be read.
	HealthDown
)

// String returns ok, degraded, down or unknown.
func (h Health) String() string {
	switch h {
	case HealthOK:
		return "ok"
	case HealthDegraded:
		return "degraded"
	case HealthDown:
		return "down"
	}
	return "unknown"
}

// A HealthReport is the result of a health check.
type HealthReport struct {
	Health  Health
	Reasons []string // why the pool is not ok
	Err     error    // why the pool is down
	Checked time.Time
	Took    time.Duration
}
