package postgres

import (
	"errors"
	"strings"

	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

var (
	// ErrNoPrimary is wrapped by the error of a call that found no primary within
	// Config.FailoverTimeout. The error's text says what each server has answered.
	ErrNoPrimary = cluster.ErrNoPrimary

	// ErrTwoPrimaries is wrapped by the error of every call that needs a new connection while two
	// servers are primaries of the same timeline.
	ErrTwoPrimaries = cluster.ErrTwoPrimaries

	// ErrDemoted is wrapped by the errors of calls on a connection whose server is no longer the
	// primary. What became of a call that was running is unknown.
	ErrDemoted = cluster.ErrDemoted
)

// Reasons of the events wrap.KindFailing and wrap.KindRecovered.
const (
	ReasonPrimary = cluster.ReasonPrimary // no server is the primary
	ReasonStandby = cluster.ReasonStandby // no standby can be used
	ReasonReplay  = cluster.ReasonReplay  // no standby has caught up within Config.ReplayTimeout
)

// Classify returns the SQLSTATE of an error, if the error has a method SQLState() string as those of
// pgx and lib/pq have.
func Classify(err error) tracing.ErrorClass { return tracing.ErrorClass{StatusCode: stateOf(err)} }

// stateOf returns the SQLSTATE of an error, or an empty string.
func stateOf(err error) string {
	var s interface {
		error
		SQLState() string
	}
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// damage tells what an error says about its connection: a connection exception or the end of the
// server breaks it. Only a server that has become a standby refuses to write in a transaction that
// was not begun as read-only, unless default_transaction_read_only is set.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func damage(err error) cluster.Damage {
	switch state := stateOf(err); {
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "57P0"):
		return cluster.Broken
	case state == "25006":
		return cluster.Demoted
	}
	return cluster.NoDamage
}

// summarize returns the first keyword of a query.
func summarize(query string) string {
	h := sqltext.SQLite.Head(query)
	if h.Verb <= sqltext.Unknown {
		return ""
	}
	return strings.ToUpper(query[h.VerbStart:h.Body])
}
