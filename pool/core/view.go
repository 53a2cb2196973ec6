package core

import (
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

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

// SettingsView is implemented by a [View] that knows its settings. Settings returns those that
// differ from the defaults.
type SettingsView interface{ Settings() []Setting }

// A Setting is a setting of a pool. Its texts contain no secrets.
type Setting struct {
	Name    string // such as Config.MaxConns
	Value   string // in force
	Default string // what the setting is if the program sets nothing
	Why     string // the reason, if the pool has chosen the value itself; otherwise empty
}

var (
	_ View        = &Pool{}
	_ HoldersView = &Pool{}
	_ WaitersView = &Pool{}
	_ View        = &Observer{}
)
