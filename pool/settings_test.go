package pool_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestSettings checks which settings differ from the defaults, and why.
func TestSettings(t *testing.T) {
	const always = "lanes=2 (readers beside a writer, because the database is a file in WAL mode)"
	for name, tc := range map[string]struct {
		cfg    pool.Config
		params string
		want   []string
	}{
		"default": {pool.Config{}, "", []string{always}},
		"some": {pool.Config{
			Name: "orders", MaxConns: 4, AcquireTimeout: -1, LeakAfter: time.Minute, MapError: func(err error) error { return errors.Join(err) },
			Pragmas: []driver.Pragma{{Name: "cache_size", Value: "-4000"}}, JournalSizeLimit: -1, StatementCache: -1,
		}, "", []string{
			always, "MaxConns=4", "AcquireTimeout=never", "LeakAfter=1m0s", "TrackStacks=true (LeakAfter implies it)",
			"JournalSizeLimit=any", "Pragmas=cache_size=-4000", "MapError=set", "StatementCache=0",
		}},
		"one lane": {pool.Config{MaxConns: 1}, "", []string{"lanes=1 (MaxConns is 1)", "MaxConns=1"}},
		"no WAL": {pool.Config{}, "?_pragma=journal_mode(delete)&_pragma=busy_timeout(100)", []string{
			"lanes=1 (journal_mode=delete)", "DisableWAL=true (journal_mode=delete)",
			"Synchronous=extra (a commit without a WAL is durable only with extra)", "CommitSync=solo (commits cannot share syncs here)", "BusyTimeout=100ms",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.Path = "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "a.db")) + tc.params
			p, err := pool.Open(t.Context(), tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var got []string
			for _, s := range p.Settings() {
				text := s.Name + "=" + s.Value
				if s.Why != "" {
					text += " (" + s.Why + ")"
				}
				if s.Name != "lanes" && s.Value == s.Default {
					t.Errorf("%s is the default", text)
				}
				got = append(got, text)
			}
			if p.Config().CommitSync == pool.CommitSyncSolo && name != "no WAL" { // on some systems, commits cannot share syncs
				got = without(got, "CommitSync=")
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("the settings are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// without returns the texts that do not begin with prefix.
func without(texts []string, prefix string) (rest []string) {
	for _, text := range texts {
		if !strings.HasPrefix(text, prefix) {
			rest = append(rest, text)
		}
	}
	return rest
}
