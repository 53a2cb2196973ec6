// Package faults breaks things beneath "sqlitemw" and its pool, and proves that
// nothing is lost.
//
// Each campaign is a test. A campaign runs a database under load, lets one kind
// of fault happen again and again, and compares what is left with what was
// acknowledged: an id counts as acknowledged once the call that wrote it has
// returned nil. The comparison is made by the plain driver, "sqlite3", so that a
// fault of "sqlitemw" cannot hide itself.
//
// # Running
//
//	go test .                              a short run of every campaign, as in CI
//	make faults                            minutes for every campaign, and a summary
//	SQLITEMW_FAULTS=1h go test -v -run X   the same by hand; the duration is that of each campaign
//	SQLITEMW_FAULTS_GAME='remove.*/pool' go test -v -run TestFileGames
//	                                       the file games that a regular expression matches, in all modes
//	SQLITEMW_FAULTS_INJECTION='^sync 11 '  the injections that one matches, for TestInjection
//
// At its end each campaign prints one line of figures, such as
//
//	power failures, pool: crashes 412, acknowledged 51234, lost 0, not whole 0
//
// and how often it has seen each error text. A campaign fails if anything was
// lost, not whole, leaked or hung.
//
// # Campaigns
//
//	TestPowerFailures        the power fails beneath a pool and beneath "sqlitemw", at any moment of any kind of commit
//	TestBackupPowerFailures  the same during and after a backup
//	TestBackupKills          a process is killed during a backup
//	TestInjection            the nth operation of a kind fails with an errno, once or until the fault is over
//	TestFailingCheckpoints   the database file cannot be written, and the WAL can
//	TestFullDisk             a small disk is full, and then there is room
//	TestStalls               the disk holds one call, while others go on
//	TestKill                 a process is killed in the middle of every stage
//	TestFileGames            files are moved, replaced, truncated under an open database
//	TestTwoNames             one database is opened by two names
//	TestStorm                everything that a pool can do, at the same time
//
// A short run plays each file game in three modes of twelve, and -short in one. Games
// and kills that need the C library beside use SQLite's shell, of Debian's package
// sqlite3, and are left out where it is missing.
//
// For each kind there is a liar, which does one thing wrong on purpose: a campaign
// that does not catch it sees nothing.
//
// The first seven run on a disk made for them: package fusefs, a file system in
// memory that loses power and fails on request, or a tmpfs. Those need Linux,
// /dev/fuse and root, and are skipped with the reason where one of them is missing.
//
// # Helpers
//
// Everything but package fusefs is in the tests: campaign (campaign_test.go) is
// the length, the figures and the error texts of one campaign; child
// (child_test.go) is this test binary started again in a role; report
// (report_test.go) is the pipe by which a child acknowledges; compare
// (verify_test.go) reads a database back with the plain driver; leaks
// (leaks_test.go) finds goroutines, descriptors and mappings that are left over;
// roads (roads_test.go) are all the ways to commit; disk (disk_test.go) is a fusefs
// that is mounted.
package faults
