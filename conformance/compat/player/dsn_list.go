package player

import (
	"slices"
	"strings"
)

// dsns returns the DSNs that programs open: each parameter of either driver with good and bad
// values, names of all kinds, and the DSNs of applications. Each DSN occurs once.
func dsns() []string {
	all := slices.Concat(names, applications)
	n := 0
	for _, p := range parameters {
		for _, key := range strings.Fields(p.keys) {
			for _, v := range p.values {
				// The base changes with each value, so that every base is used.
				all = append(all, bases[n%len(bases)]+key+"="+v)
				n++
			}
		}
	}
	for _, params := range combinations {
		all = append(all, "DIR/a.db?"+params, "file:a.db?"+params)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// bases are prefixes for parameters. All but the last are files, because an in-memory database
// has no journal.
var bases = []string{"DIR/a.db?", "file:a.db?", "file:DIR/a.db?", "a.db?", "file:a.db?mode=rwc&", ":memory:?", "file::memory:?"}

var (
	booleans   = []string{"1", "0", "on", "OFF", "Yes", "FALSE", "", "2", "maybe"}
	goBooleans = []string{"1", "0", "true", "F", "yes", "", "TRUE"}
)

var parameters = []struct {
	keys   string
	values []string
}{
	{"_case_sensitive_like _cslike _defer_foreign_keys _defer_fk _foreign_keys _fk _ignore_check_constraints", booleans},
	{"_query_only _recursive_triggers _rt _writable_schema", booleans},
	{"_auto_vacuum _vacuum", []string{"0", "1", "2", "none", "FULL", "Incremental", "", "3", "some"}},
	{"_busy_timeout _timeout", []string{"0", "1234", "-1", "", "abc", "1e3", "%205", "99999999999", "%2B7", "0x10"}},
	{"_journal_mode _journal", []string{"DELETE", "truncate", "Persist", "memory", "WAL", "wal", "off", "", "wall"}},
	{"_locking_mode _locking", []string{"normal", "EXCLUSIVE", "", "shared"}},
	{"_secure_delete", []string{"0", "1", "on", "fast", "FAST", "", "slow", "default"}},
	{"_synchronous _sync", []string{"0", "1", "2", "3", "off", "Normal", "FULL", "extra", "", "4", "most"}},
	{"_cache_size", []string{"-2000", "500", "0", "", "abc", "1000000000", "1.5"}},
	{"_stmt_cache_size", []string{"0", "10", "-1", "abc", ""}},
	{"_mutex", []string{"no", "full", "FULL", "half", ""}},
	{"_txlock", []string{"deferred", "immediate", "exclusive", "IMMEDIATE", "Exclusive", "later", "", "concurrent"}},
	{"_loc _timezone", []string{"auto", "UTC", "America/New_York", "Local", "Nowhere/Land", ""}},
	{"vfs", []string{"", "nothing"}},
	{"_auth", []string{"", "1"}},
	{"_auth_user _auth_pass _auth_crypt _auth_salt", []string{"", "sha1"}},
	{"_pragma", []string{
		"busy_timeout(700)", "busy_timeout=700", "busy_timeout+700", "BUSY_TIMEOUT(700)", "+busy_timeout(700)", "busy_timeout(abc)",
		"foreign_keys(1)", "foreign_keys(ON)", "foreign_keys(maybe)", "foreign_keys=1", "foreign_keys",
		"journal_mode(WAL)", "journal_mode=wal", "journal_mode(truncate)", "journal_mode(wall)",
		"synchronous(NORMAL)", "synchronous(off)", "synchronous(9)", "cache_size(-32000)", "temp_store(MEMORY)", "temp_store=2",
		"mmap_size(65536)", "mmap_size(0)", "wal_autocheckpoint(10)", "wal_autocheckpoint(0)", "journal_size_limit(200000000)",
		"auto_vacuum=INCREMENTAL", "auto_vacuum(1)", "locking_mode(EXCLUSIVE)", "query_only(1)", "recursive_triggers(1)",
		"secure_delete(fast)", "case_sensitive_like(1)", "defer_foreign_keys(1)", "ignore_check_constraints(1)", "writable_schema(1)",
		"user_version(7)", "encoding(%22UTF-16%22)", "page_size(8192)", "trusted_schema(0)", "read_uncommitted(1)",
		"no_such_pragma(1)", "", "foreign_keys(1", "foreign_keys(1);PRAGMA+cache_size=77", "foreign_keys(1)%3BPRAGMA+cache_size=77",
		"main.user_version(8)", "foreign_keys(1)+--+comment", "optimize", "integrity_check", "table_info(old)", "1", "foreign_keys%3D1",
	}},
	{"_time_format", []string{"sqlite", "datetime", "string_no_monotonic", "SQLite", "rfc3339", ""}},
	{"_time_integer_format", []string{"unix", "unix_milli", "unix_micro", "unix_nano", "UNIX", "millis", ""}},
	{"_inttotime _texttotime _dqs _defensive _error_rc", goBooleans},
	{"mode", []string{"ro", "rw", "rwc", "memory", "RO", "w", ""}},
	{"cache", []string{"shared", "private", "Shared", "none", ""}},
	{"immutable nolock psow", []string{"1", "0", "true", "maybe", ""}},
	{"modeof", []string{"DIR/old.db", "nowhere"}},
}

// combinations are combinations of parameters.
var combinations = []string{
	"", "&", "&&_fk=1&", "unknown=1", "_unknown=1", "_fk", "=", "=1", "_fk=1=0", "a=b=c",
	"_fk=%zz", "%zz=1", "_fk=1;_rt=1", "_fk=1%3B_rt=1", "_fk=1?_rt=1", "_fk=1%26_rt=1", "_fk=1#_rt=1", "#_fk=1",
	"_fk=1&_fk=0", "_fk=0&_fk=1", "_fk=&_fk=1", "_foreign_keys=1&_fk=0", "_fk=0&_foreign_keys=1", "_foreign_keys=1&_fk=", "_foreign_keys=maybe&_fk=1",
	"_FK=1", "_Foreign_Keys=on", "_PRAGMA=foreign_keys(1)", "_Txlock=immediate",
	"_fk=%31", "_fk=1+", "_fk=+1", "%5Ffk=1", "_journal_mode=W%41L", "_fk=o%6E",
	"_busy_timeout=1&_timeout=2", "_timeout=2&_busy_timeout=1", "_busy_timeout=1&_timeout=", "_busy_timeout=1&_busy_timeout=2",
	"_journal_mode=WAL&_sync=FULL", "_sync=EXTRA&_journal=WAL", "_sync=OFF&_journal_mode=WAL", "_journal_mode=WAL&_journal=delete", "_journal_mode=WAL&_locking=EXCLUSIVE",
	"_vacuum=1&_journal_mode=WAL", "_journal_mode=WAL&_auto_vacuum=2", "_auto_vacuum=1&_vacuum=2",
	"_query_only=1&_journal_mode=WAL", "_query_only=1&_vacuum=full", "_query_only=1&_writable_schema=1", "_query_only=1&_pragma=user_version(3)",
	"_locking=EXCLUSIVE&_txlock=exclusive", "_txlock=immediate&_query_only=1", "_txlock=immediate&_txlock=exclusive", "_txlock=&_txlock=immediate",
	"_secure_delete=on&_secure_delete=off", "_writable_schema=1&_defensive=1", "_journal_mode=OFF&_defensive=1", "_pragma=journal_mode(OFF)&_defensive=1", "_defensive=1&_defensive=1", "_defensive=0&_defensive=1", "_defensive=0&_journal=off",
	"_dqs=0&_dqs=1", "_dqs=1&_dqs=0", "_dqs=0&_pragma=foreign_keys(1)",
	"_pragma=foreign_keys(1)&_pragma=foreign_keys(0)", "_pragma=foreign_keys(0)&_pragma=foreign_keys(1)", "_pragma=foreign_keys(1)&_fk=0", "_pragma=foreign_keys(0)&_fk=1",
	"_pragma=busy_timeout(1)&_busy_timeout=2", "_pragma=busy_timeout(1)&_pragma=busy_timeout(2)", "_pragma=synchronous(FULL)&_pragma=journal_mode(WAL)", "_pragma=journal_mode(WAL)&_journal_mode=DELETE",
	"_pragma=busy_timeout(100)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(ON)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32000)",
	"_pragma=cache_size(-100)&_cache_size=200", "_pragma=auto_vacuum(1)&_vacuum=2", "_pragma=query_only(1)&_journal_mode=WAL", "_pragma=query_only(1)&_pragma=user_version(3)", "_pragma=no_such(1)&_fk=1",
	"_timezone=UTC&_time_format=sqlite&_inttotime=1&_texttotime=1&_time_integer_format=unix", "_time_format=sqlite&_time_format=datetime", "_time_format=nothing&_journal_mode=WAL",
	"_loc=auto&_fk=1&_mutex=no", "_loc=Nowhere&_journal_mode=WAL", "_fk=maybe&_journal_mode=WAL", "_journal_mode=WAL&_fk=maybe",
	"vfs=nothing&vfs=more", "vfs=&vfs=nothing",
	"_auth&_auth_user=u&_auth_pass=p", "_auth_user=u&_auth_pass=p", "_auth&_auth_user=u", "_auth&_auth_user=u&_auth_pass=p&_auth_crypt=sha1", "_auth_crypt=ssha1",
	"mode=ro&_fk=1", "mode=rw&_journal_mode=WAL", "mode=memory&_journal_mode=WAL", "mode=rwc&mode=ro", "mode=ro&mode=rwc", "mode=rwc&cache=shared", "cache=shared&_journal=WAL&_busy_timeout=300&_txlock=immediate", "cache=private&_fk=1",
	"_fk=true&_rt=true&_sync=1&_txlock=immediate", "_loc=auto&mode=rwc", "nolock=1&_journal_mode=WAL", "immutable=1&_fk=1",
	"_case_sensitive_like=1&_cslike=0", "_recursive_triggers=0&_rt=1", "_defer_foreign_keys=1&_defer_fk=0", "_locking_mode=EXCLUSIVE&_locking=NORMAL", "_synchronous=OFF&_sync=FULL",
	"_error_rc=1&_fk=1", "_compat=mattn", "_cipher=x", "_key=secret", "_crypto_key=x",
}

// names are DSNs without driver parameters, and DSNs that test the name.
var names = []string{
	"", "?", "?_fk=1", "?a.db", "a.db", "a.db?", "./a.db", "DIR/a.db", "DIR/./a.db", "DIR//a.db", "sub/a.db", "sub/../a.db", "DIR/sub/a.db", "nowhere/a.db", "DIR/nowhere/a.db", "DIR", "DIR/", "sub", "sub/",
	"a b.db", " a.db", "a.db ", "\ta.db", "a%20b.db", "a%41.db", "a%zz.db", "a%.db", "100%.db?_fk=1", "a+b.db", "a#b.db", "a&b.db", "a=b.db", "a;b.db", "a:b.db", "a'b.db", `a"b.db`, `a\b.db`, "ä.db", "日本.db", "a.db-wal", "a", ".a.db", "-a.db", "a?b?c", "a.db?_fk=1&b",
	`C:\x\a.db`, "C:/x/a.db", `C:a.db`, "~/a.db", "$HOME/a.db", "*.db", "a\x00b.db", "file:a\x00b.db", "a\xff.db",
	"file:", "file:?_fk=1", "file:a.db", "file:./a.db", "file:sub/a.db", "file:nowhere/a.db", "file:DIR/a.db", "file:DIR/./a.db", "file:DIR//a.db", "file://DIR/a.db", "file:///DIR/a.db", "file://localhost/DIR/a.db", "file://elsewhere/DIR/a.db", "file://a.db",
	"file:a b.db", "file:a%20b.db", "file:a%41.db", "file:a%2541.db", "file:a%3fb.db", "file:a%23b.db", "file:a%2fb.db", "file:sub%2fa.db", "file:a%zz.db", "file:a%.db", "file:a%00b.db", "file:a+b.db", "file:a#b.db", "file:a#b.db?_fk=1", "file:a&b.db", "file:%C3%A4.db", "file:ä.db",
	"FILE:a.db", "File:a.db?_fk=1", " file:a.db", "file :a.db", "sqlite:a.db", "sqlite3://a.db", "http://a.db", "file:C:/x/a.db", "file:///C:/x/a.db", `file:C:\x\a.db`,
	":memory:", ":memory:?", ":memory:?_fk=1", ":memory:?cache=shared", ":memory:?mode=ro", ":MEMORY:", ":memory", ":memory:a", "memory", "file::memory:", "file::memory:?cache=shared", "file::memory:?cache=private", "file::memory:?mode=memory", "file::memory:?mode=memory&cache=shared", "file::memory:?cache=shared&_fk=1", "file::memory:?_journal_mode=WAL", ":memory:?_pragma=journal_mode(WAL)", ":memory:?_journal=WAL&_sync=FULL", "file::memory:?mode=ro", "file::memory:?mode=rwc", "file::memory:a",
	"file:abc?mode=memory", "file:abc?mode=memory&cache=shared", "file:abc?mode=memory&cache=private", "file:/abc?mode=memory&cache=shared", "file:/abc?vfs=memdb", "file:abc?vfs=memdb", "file:?mode=memory", "file:?mode=memory&cache=shared", "file:abc?cache=shared&mode=memory&_fk=1&_busy_timeout=20", "abc?mode=memory&cache=shared", "DIR/abc?mode=memory",
	"old.db", "DIR/old.db", "file:old.db", "file:old.db?mode=ro", "file:old.db?mode=rw", "file:old.db?mode=rwc", "file:old.db?mode=memory", "old.db?mode=ro", "file:old.db?immutable=1", "file:old.db?mode=ro&immutable=1", "file:old.db?mode=ro&_fk=1", "file:old.db?mode=ro&_query_only=1", "file:old.db?mode=ro&_journal_mode=WAL", "file:old.db?mode=ro&_journal_mode=delete", "file:old.db?mode=ro&_pragma=journal_mode(WAL)", "file:old.db?mode=ro&_auto_vacuum=1", "file:old.db?mode=ro&_txlock=immediate", "file:old.db?mode=ro&_pragma=user_version(5)", "file:old.db?cache=shared", "file:old.db?cache=shared&mode=ro", "file:old.db?nolock=1", "old.db?_auto_vacuum=full", "old.db?_journal_mode=WAL", "old.db?_query_only=1", "old.db?_locking_mode=EXCLUSIVE", "old.db?_defensive=1", "old.db?_secure_delete=1", "old.db?vfs=unix", "file:old.db?vfs=unix", "file:old.db?vfs=unix-dotfile", "file:old.db?vfs=unix-none", "file:old.db?vfs=unix-excl",
	"empty.db", "file:empty.db?mode=ro", "file:empty.db?mode=rw", "garbled.db", "file:garbled.db?mode=ro", "garbled.db?_journal_mode=WAL", "garbled.db?_pragma=foreign_keys(1)", "garbled.db?_pragma=journal_mode(WAL)", "garbled.db?_pragma=user_version",
	"a.db?mode=ro", "a.db?mode=memory", "file:a.db?mode=ro", "file:a.db?mode=rw", "file:a.db?mode=memory&cache=shared", "file:nowhere/a.db?mode=memory",
	"file:abc?mode=memory&cache=shared&_journal=DELETE", "file:abc?mode=memory&cache=shared&_journal_mode=WAL", "file:abc?mode=memory&cache=shared&_pragma=journal_mode(delete)", "file:abc?mode=memory&cache=shared&_locking=EXCLUSIVE", "file:abc?mode=memory&cache=shared&_txlock=immediate", "file:abc?mode=memory&cache=shared&_query_only=1",
}

// applications are the DSNs of existing programs.
var applications = []string{
	"DIR/data.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=journal_size_limit(200000000)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(ON)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32000)&_defensive=1", // PocketBase
	"DIR/memos.db?_pragma=foreign_keys(0)&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=mmap_size(0)",                                                                                                                 // memos
	"DIR/soft-serve.db?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)",                                                                                                                                                            // soft-serve
	"file:DIR/openfga.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)",                                                                                                                            // openfga
	"file:DIR/hs.db?_txlock=immediate&_pragma=busy_timeout=10000&_pragma=journal_mode=WAL&_pragma=auto_vacuum=INCREMENTAL&_pragma=wal_autocheckpoint=1000&_pragma=synchronous=NORMAL&_pragma=foreign_keys=ON",                         // headscale
	"file:DIR/ls.db?_pragma=busy_timeout(1000)&_pragma=wal_autocheckpoint(0)",                                                                                                                                                         // litestream
	"DIR/state.db?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate",                                                                                                                                                    // kine
	"DIR/goqite.db?_journal=WAL&_timeout=5000&_fk=true",                                                                                                                                                                               // goqite
	"file:DIR/st.db?_fk=true&_rt=true&_sync=1&_txlock=immediate",                                                                                                                                                                      // syncthing
	"file:DIR/gitea.db?cache=shared&mode=rwc&_busy_timeout=500&_txlock=immediate",                                                                                                                                                     // gitea, gogs
	"DIR/navidrome.db?cache=shared&_cache_size=1000000000&_busy_timeout=5000&_journal_mode=WAL&_synchronous=NORMAL&_foreign_keys=on&_txlock=immediate",                                                                                // navidrome
	"DIR/gotify.db",                                            // gotify
	"file:wa.db?_foreign_keys=on",                              // whatsmeow
	"DIR/test.db?cache=shared&mode=rwc",                        // xorm's documentation
	"file:DIR/vikunja.db?cache=shared&_loc=auto",               // vikunja
	":memory:?_pragma=busy_timeout(5000)",                      // modernc's examples
	"file:memdb1?mode=memory&cache=shared&_fk=1",               // many tests
	"file:ent?mode=memory&cache=shared&_fk=1",                  // ent's documentation
	"file:test.db?_pragma=foreign_keys(1)&_time_format=sqlite", // atlas
	"./foo.db?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_cache_size=-20000&_foreign_keys=true&_txlock=immediate",
}
