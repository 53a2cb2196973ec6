package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
)

// roleQuery returns texts only, because drivers differ in how they return other types. On a primary,
// the first eight digits of a WAL file's name are the timeline that it writes; pg_control_checkpoint
// has the new one only after the first checkpoint that follows a promotion.
// https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
const roleQuery = `SELECT pg_is_in_recovery()::text,
	(SELECT system_identifier::text FROM pg_control_system()),
	CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

// AskRole asks a server for its role, with one query through the driver's interfaces. Every user may
// run it on PostgreSQL 10 and newer. A service that forbids one of its functions needs a
// Config.Role of its own.
func AskRole(ctx context.Context, c driver.Conn) (Role, error) {
	row, err := cluster.QueryTexts(ctx, c, roleQuery, 3)
	if err != nil {
		return Role{}, err
	}
	r := Role{Primary: row[0] == "false", System: row[1]}
	if row[2] == "" {
		return r, nil
	}
	if r.Timeline, err = strconv.ParseUint(row[2], 16, 32); err != nil {
		return Role{}, fmt.Errorf("postgres: timeline %q: %w", row[2], err)
	}
	return r, nil
}

// askWritten asks the primary how far its log is written. A commit is acknowledged after that, unless
// synchronous_commit is off.
func askWritten(ctx context.Context, c driver.Conn) (uint64, error) {
	return askLSN(ctx, c, `SELECT pg_current_wal_lsn()::text`)
}

// askReplayed asks a standby how far it has replayed.
func askReplayed(ctx context.Context, c driver.Conn) (uint64, error) {
	return askLSN(ctx, c, `SELECT coalesce(pg_last_wal_replay_lsn()::text, '0/0')`)
}

func askLSN(ctx context.Context, c driver.Conn, query string) (uint64, error) {
	row, err := cluster.QueryTexts(ctx, c, query, 1)
	if err != nil {
		return 0, err
	}
	return parseLSN(row[0])
}

// parseLSN parses a position such as 16/B374D848: two numbers of 32 bits, in hexadecimal.
// https://www.postgresql.org/docs/current/datatype-pg-lsn.html
func parseLSN(text string) (uint64, error) {
	high, low, ok := strings.Cut(text, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	if err == nil && ok {
		var l uint64
		if l, err = strconv.ParseUint(low, 16, 32); err == nil {
			return h<<32 | l, nil
		}
	}
	return 0, fmt.Errorf("postgres: %q is no position in the log", text)
}
