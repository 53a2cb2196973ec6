package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// secretDSNs are valid and nearly valid DSNs. Together they have every parameter of this
// package and package pool, and parameters of other drivers and other systems.
var secretDSNs = []string{
	"file:x.db?mode=rwc&cache=private&psow=1&nolock=0&immutable=0&vfs=os#frag",
	"file:x.db?modeof=x.db",
	"file:x.db?_pragma=foreign_keys(1)&_pragma=main.cache_size=-99&_pragma=journal_mode('wal')&_pragma=optimize&_pragma=table_info(t)",
	"file:x.db?_txlock=immediate&_timefmt=sqlite&_memory_limit=67108864",
	"file:x.db?_auto_vacuum=1&_vacuum=1&_busy_timeout=5&_timeout=5&_cache_size=9&_case_sensitive_like=1&_cslike=1",
	"file:x.db?_defer_foreign_keys=0&_defer_fk=0&_foreign_keys=1&_fk=1&_ignore_check_constraints=0&_journal_mode=wal&_journal=wal",
	"file:x.db?_locking_mode=normal&_locking=normal&_query_only=0&_recursive_triggers=1&_rt=1&_secure_delete=1&_synchronous=1&_sync=1&_writable_schema=0",
	"file:x.db?_stmt_cache_size=5&_time_format=sqlite&_time_integer_format=unix&_inttotime=1&_texttotime=1&_dqs=0&_mutex=no&_error_rc=1",
	"file:x.db?_loc=auto&_timezone=UTC&_defensive=1&_auth&_auth_user=a&_auth_pass=b&_auth_crypt=c&_auth_salt=d",
	"file:x.db?_key=a&_pragma_key=b&_pragma_cipher_page_size=4096&cipher=sqlcipher&key=c&password=d&auth_token=e&authToken=f&_vfs=g&_writable=h",
	"file:x.db?vfs=adiantum&textkey=a&hexkey=b&key=c&_fk=1",
	"file:x.db?vfs=adiantum&_pragma=textkey('a')&_pragma=hexkey('b')&_pragma=key(c)&_pragma=rekey(d)&_fk=1",
	"file:x.db?_pool_name=a&_pool_min=1&_pool_max=2&_pool_max_waiters=3&_pool_events=4&_pool_acquire_timeout=5s&_pool_idle_timeout=6s&_pool_max_lifetime=1h",
	"file:x.db?_pool_busy_timeout=1s&_pool_validate_after=1s&_pool_keepalive=1s&_pool_leak_after=1s&_pool_health_interval=1s&_pool_must_exist=0",
	"file:x.db?_pool_wal=1&_pool_lifetime_jitter=0.5&_pool_journal_size_limit=9&_pool_memory_limit=67108864&_pool_dirty=repair&_pool_synchronous=full",
	"FILE:x.db?mode=rwc&_fk=1&_pragma=key(a)", "sqlite:x.db?_fk=1", "sqlite3://x.db?mode=rwc&_key=a", "x.db?_fk=1&_pragma=key(a)",
	"file::memory:?cache=shared&_fk=1", ":memory:?_fk=1", "file:x?mode=memory&_pool_max=5",
}

// secretDSN returns a DSN with a secret somewhere: in place of a value, at its end, or
// after any separator, as a name, a value or a whole parameter. The secret is never in the
// file name.
func secretDSN(dsn, secret string, place, form int) (string, bool) {
	start := strings.IndexAny(dsn, "?#")
	var ends []int
	for i := start; i < len(dsn); i++ {
		if strings.IndexByte("?&,=;/#(')", dsn[i]) >= 0 {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(dsn))
	if place >= len(ends) {
		return "", false
	}
	at := ends[place]
	if strings.HasSuffix(dsn[:at], "_pool_name=") {
		return "file:x.db?_pool_name=a?key=" + secret, true // a pool name is shown
	}
	rest := dsn[at:]
	switch form {
	case 0: // replaces the value
		rest = rest[max(0, strings.IndexAny(rest+"&", "&#")):]
		return dsn[:at] + secret + rest, true
	case 1: // before the value
		return dsn[:at] + secret + rest, true
	case 2:
		return dsn[:at] + "key(" + secret + ")" + rest, true
	}
	between := []string{"?_pragma=key(%s)", "&_pragma=key(%s)", "&_pragma=%s", "&_pragma=%s(1)", "&_pragma=%s.key(1)", ",_pragma=key(%s)", ";key=%s", "&textkey=%s", "&%s", "&%s=1", "&_%s=1", "&key=a&%s=b",
		"#%s", "#%%zz%s", "%%00%s", "%%zz%s", "\n%s", "%s\n", " %s", "'%s'", "/%s", "=%s", "+%s", "%%26textkey%%3d%s", "&_pool_%s=1", "&_pool_name=a?key=%s", "&mode=rw?key=%s", "&vfs=%s", "&cache=%s"}
	if form-3 >= len(between) {
		return "", false
	}
	return dsn[:at] + fmt.Sprintf(between[form-3], secret) + rest, true
}

const dsnForms = 3 + 29

// No error, event, span, metric, log line or String of either driver shows a secret of the
// DSN, wherever it is and whatever it breaks.
func TestSecretDSNs(t *testing.T) {
	w := newWitness(t)
	for _, dsn := range secretDSNs {
		for place := 0; ; place++ {
			if _, ok := secretDSN(dsn, "", place, 0); !ok {
				break
			}
			for form := range dsnForms {
				if testing.Short() && (place+form)%5 != 0 {
					continue
				}
				name, ok := secretDSN(dsn, "s3cr3t", place, form)
				if !ok {
					t.Fatalf("there is no form %d", form)
				}
				w.play(t, name, "s3cr3t")
			}
		}
	}
	if w.opened == 0 || w.refused == 0 {
		t.Errorf("%d opened, %d refused", w.opened, w.refused)
	}
}

// File names that look like another system's DSN are cut.
func TestNamesOfOtherSystems(t *testing.T) {
	w := newWitness(t)
	const secret = "s3cr3t"
	for _, name := range []string{
		"postgres://user:" + secret + "@host/db", "postgres://user:" + secret + "@host/db?sslmode=disable", "mysql://user:" + secret + "@tcp(host)/db",
		"postgres:%2f%2fuser:" + secret + "@host%2fdb", "postgres://user:p%2f" + secret + "@host/db", "postgres://host/db%3fpassword=" + secret, "user:" + secret + "@tcp(host:3306)/db", "user:" + secret + "@/db",
		"user:" + secret + "@unix(%2ftmp%2fmysql.sock)%2fdb", "scott/" + secret + "@host:1521/db", "host=localhost password=" + secret, "Server=x;Password=" + secret + ";",
		"libsql://host?authToken=" + secret, "x.db,_pragma=key(" + secret + ")", "x.db;_pragma=key(" + secret + ")", "x.db&textkey=" + secret, "x.db%253f_pragma=key(" + secret + ")",
		"x.db%26_key=" + secret, "//user:" + secret + "@localhost/x.db", "//user:" + secret + "@host/x.db", "//localhost/postgres://user:" + secret + "@host",
	} {
		for _, before := range []string{"", "file:", "sqlite:", "sqlite3://", "FILE:", "file:///tmp/", "file:new%0aline", "new\nline"} {
			for _, behind := range []string{"", "?mode=ro", "?_fk=1", "?_pragma=nope(1)", "?mode=memory&cache=shared"} {
				w.play(t, before+name+behind, secret)
			}
		}
	}
}

// A witness opens databases of both drivers and collects everything that they report.
type witness struct {
	tel             *telemetry
	dir             string
	opened, refused int
}

func newWitness(t *testing.T) *witness {
	w := &witness{tel: newTelemetry(t), dir: t.TempDir()}
	t.Chdir(w.dir)
	return w
}

// play opens a DSN with both drivers, and fails if it finds the secret anywhere.
func (w *witness) play(t *testing.T, dsn, secret string) {
	t.Helper()
	var log eventLog
	tracer := w.tel.tracer(t)
	for _, d := range []sqldriver.DriverContext{
		&driver.Driver{Config: driver.Config{Tracing: tracer, Recorder: &log}},
		&pool.Driver{Config: pool.Config{Tracing: tracer, Recorder: &log, MaxConns: 2, Logger: w.tel.Logger}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ctx, span := w.tel.spans.sdk.Tracer("test").Start(ctx, "program")
		seen := w.open(ctx, d, dsn)
		span.End()
		cancel()
		out := seen + w.tel.exported(t) + fmt.Sprintf("%+v", log.events)
		if i := strings.Index(out, secret); i >= 0 {
			t.Errorf("%T: %q\nis seen: … %s …", d, dsn, out[max(0, i-300):min(len(out), i+100)])
		}
		if i := strings.Index(seen, "new\nline"); i >= 0 {
			t.Errorf("%T: %q\nbreaks a line: … %s …", d, dsn, seen[max(0, i-300):min(len(seen), i+100)])
		}
	}
}

// open uses a database and returns everything that was reported about it.
func (w *witness) open(ctx context.Context, d sqldriver.DriverContext, dsn string) (seen string) {
	var b strings.Builder
	note := func(err error) {
		for ; err != nil; err = errors.Unwrap(err) {
			fmt.Fprintf(&b, "%v\n%+v\n%#v\n", err, err, err)
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				for _, err := range joined.Unwrap() {
					fmt.Fprintf(&b, "%v\n", err)
				}
			}
		}
	}
	c, err := d.OpenConnector(dsn)
	if note(err); err != nil {
		w.refused++
		return b.String()
	}
	db := sql.OpenDB(c)
	err = db.PingContext(ctx)
	if note(err); err == nil {
		w.opened++
		_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS t(a); SELECT nothing")
		note(err)
	} else {
		w.refused++
	}
	fmt.Fprintf(&b, "%v\n%+v\n%v\n%+v\n", c, c, db.Driver(), db.Driver())
	if p := pool.Of(db); p != nil {
		fmt.Fprintf(&b, "%v\n%+v\n%v\n%v\n%v\n", p, p, p.Config(), p.Health(), p.Holders())
		note(p.HealthCheck(ctx))
		_, err := p.Acquire(canceled(ctx))
		note(err)
	}
	note(db.Close())
	return b.String()
}

func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
