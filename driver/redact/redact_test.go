package redact_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

func TestValue(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "bogus": "bogus", "WAL": "WAL", "NaN": "NaN", "RFC3339": "RFC3339",
		"3": "3", "-1": "-1", "1.5": "1.5", "30s": "30s", "64MiB": "64MiB", "9223372036854775808": "9223372036854775808",
		"1?_pragma=key(s3cr3t)": "1...", "WAL,_pragma=key(s3cr3t)": "WAL...", "30s;x": "30s...", "rw\n": "rw...",
		"s3cr3t": "...", "3s3cr3t": "...", "0x1F": "...", "'s3cr3t'": "...", "-": "...", "é": "...", "aé": "...", "\x00": "...",
		"averyveryverylongword": "...", "123456789012345678901234": "...", "immediate immediate": "immediate...",
	} {
		if got := redact.Value(value, "rfc3339"); got != want {
			t.Errorf("%q is shown as %q, want %q", value, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	for key, want := range map[string]string{
		"": "", "moed": "moed", "_POOL_MAX": "_POOL_MAX", "_ignore_check_constraints": "_ignore_check_constraints",
		"_pool_max;textkey": "_pool_max...", "_key('s3cr3t')": "_key...", "key:s3cr3t": "key...", "s3cr3t": "...", "(x": "...",
		strings.Repeat("a", 99): "...",
	} {
		if got := redact.Key(key); got != want {
			t.Errorf("%q is shown as %q, want %q", key, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", ":memory:": ":memory:", "a b%.db": "a b%.db", "/tmp/a.db": "/tmp/a.db", "a\nb.db": "a\nb.db",
		`C:\Users\me@home\a.db`: `C:\Users\me@home\a.db`, "C:/x@y": "C:/x@y", "backup@2026.db": "backup@2026.db", "1:2.db": "1:2.db", "[x]@y:z": "[x]@y:z",
		"year=2026/a.db": "year=2026/a.db", "monkey(1).db": "monkey(1).db", "a;b&c": "a;b&c", "hash#.db": "hash#.db",

		"what?.db": "what?...", "x.db?_pragma=key(s3cr3t)": "x.db?...", "x.db&textkey=s3cr3t": "x.db&...", "x.db;_pragma=key(s3cr3t)": "x.db;...",
		"x.db,_key=s3cr3t": "x.db,...", "x.db%3f_pragma=s3cr3t": "x.db%3f...", "x.db%253fs3cr3t": "x.db...", "a%2520b": "a%2520b", "a%252525252525": "a...", "x.db#key=s3cr3t": "x.db#...", "x.db,_pragma=kye(s3cr3t)": "x.db,...",
		"x.db/key('s3cr3t')": "x.db...", "x,_mode=rw/a.db": "x,_mode=rw/a.db",

		"postgres://user:s3cr3t@host/db":                      "postgres://...@host/db",
		"postgres://user:s3cr3t@host:5432/db?sslmode=disable": "postgres://...@host:5432/db?...",
		"postgres://user:s3/cr3t@x@host/db":                   "postgres://...@host/db",
		"postgres://user:s3?cr3t@host/db":                     "postgres://...",
		"postgres://host/db?password=a@s3cr3t":                "postgres://...",
		"postgres://host/db?password=s3cr3t":                  "postgres://host/db?...",
		"postgres://host:5432/db":                             "postgres://host:5432/db",
		"libsql://host/db;authToken=s3cr3t":                   "libsql://host/db;...",
		"redis://default:s3cr3t":                              "redis://default...",
		"sqlite:///C:/x.db":                                   "sqlite:///C:/x.db",
		"user:s3cr3t@tcp(localhost:3306)/db?parseTime=true":   "...@tcp(localhost:3306)/db?...",
		"user:s3cr3t@/db":                                     "...@/db",
		"scott/s3cr3t@host:1521/db":                           "...@host:1521/db",
		"host=localhost user=app password=s3cr3t":             "host=localhost user=app ...",
		"password=s3cr3t host=localhost":                      "...",
		"Server=x;User Id=sa;Password=s3cr3t;":                "Server=x;...",
		"Data Source=x;Password=s3cr3t":                       "Data Source=x;...",
		"passwd: s3cr3t":                                      "...",
		"/srv/secret:s3cr3t/x":                                "/srv/...",
		"x=s3cr3t://a":                                        "x=s3cr3t://a",
		"token=s3cr3t://a":                                    "...",
	} {
		if got := redact.Name(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "a b.db": "a b.db", `C:\x`: `C:\x`, "ä": "ä", "a\nb": `a\nb`, "\x1b[2J": `\x1b[2J`, "\xff": `\xff`, "\u2028": `\u2028`,
	} {
		if got := redact.Text(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}
