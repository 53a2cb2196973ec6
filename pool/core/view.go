package core

import "github.com/sqlitemw/sqlitemw/driver/wrap"

// A View is what a status page reads of a pool or an [Observer]. All methods are safe for
// concurrent use, take no connection and do not wait.
type View interface {
	Name() string
	Stats() Stats
	Health() HealthReport
	Events() []wrap.Event
}

// HoldersView is implemented by a [View] that knows who holds its connections.
type HoldersView interface{ Holders() []Holder }

// WaitersView is implemented by a [View] that knows the waiters for its connections.
type WaitersView interface{ Waiters() []Waiter }

var (
	_ View        = &Pool{}
	_ HoldersView = &Pool{}
	_ WaitersView = &Pool{}
	_ View        = &Observer{}
)
