// Package faults injects faults below "sqlitemw" and its pool, and checks that nothing is lost.
//
// Each campaign is a test. It runs a database under load, causes one kind of fault again and
// again, and compares what is left with what was acknowledged. An id counts as acknowledged
// once the call that wrote it has returned nil. The plain driver, "sqlite3", reads the database
// for the comparison, so that a fault of "sqlitemw" cannot hide itself.
//
// # Running
//
//	go test .                              a short run of every campaign, as in CI
//	make faults                            minutes for every campaign, and a summary
//	SQLITEMW_FAULTS=1h go test -v -run X   without make; each campaign takes 1h
//	SQLITEMW_FAULTS_CRASHES=1000 go test -v -timeout 0 -run 'TestPowerFailures$'
//	                                       at least 1000 power failures below shared syncs
//
// SQLITEMW_FAULTS_GAME='remove.*/pool' limits TestFileGames to the file games that this regular
// expression matches, and plays them in all modes. SQLITEMW_FAULTS_INJECTION='^sync 11 ' limits
// the injections of TestInjection in the same way.
//
// At its end, each campaign prints one line of figures, such as
//
//	power failures, pool: crashes 412, acknowledged 51234, lost 0, not whole 0
//
// It also prints how often each error text occurred. A campaign fails if anything was lost, not
// whole, leaked, hung, stuck or crashed.
//
// # Campaigns
//
//   - TestPowerFailures: the power fails at any moment of any kind of commit, of a pool and of
//     "sqlitemw". What readers have seen must stay too.
//   - TestBackupPowerFailures: the same during and after a backup.
//   - TestBackupKills: a process is killed during a backup.
//   - TestRoadsAreDurable, TestLeaveWAL, TestFirstSyncOfDirectory: the power fails after a single
//     commit.
//   - TestFailedSyncs: a sync of the WAL fails while commits wait for it.
//   - TestInjection: the nth operation of a kind fails with an errno, once or until the fault
//     has ended.
//   - TestFailingCheckpoints: the database file cannot be written, but the WAL can.
//   - TestFullDisk: a small disk is full, and later has space again.
//   - TestStalls: the disk blocks one call, while others continue.
//   - TestKill: a process is killed in the middle of every stage.
//   - TestFileGames: files of an open database are moved, replaced and truncated.
//   - TestTwoNames: one database is opened by two names.
//   - TestStorm: everything that a pool can do, at the same time.
//
// A short run plays each file game in three of twelve modes; with -short, in one. Games and
// kills that need a process of the C library use SQLite's shell (Debian's package sqlite3).
// They are left out where it is missing.
//
// For each kind there is a liar, which does one thing wrong on purpose. A campaign that does
// not catch its liar proves nothing.
//
// Those up to TestStalls, except TestBackupKills, run on a disk made for them: package fusefs, which is
// a file system in memory that loses power and fails on request, or a tmpfs. They need Linux,
// /dev/fuse and root. Where one of these is missing, they are skipped with the reason.
//
// # Helpers
//
// Everything except package fusefs is in the tests:
//
//   - campaign (campaign_test.go): the length, the figures and the error texts of one campaign
//   - child (child_test.go): a process of this test binary that plays a role
//   - report (report_test.go): the pipe on which a child acknowledges
//   - compare (verify_test.go): reads a database back with the plain driver
//   - leaks (leaks_test.go): finds goroutines, descriptors and mappings that are left
//   - roads (roads_test.go): all the ways to commit
//   - disk (disk_test.go): a fusefs that is mounted
//   - puppet (puppet_test.go): a child with a pool that executes orders one by one
package faults
