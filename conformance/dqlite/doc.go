// Package dqlite has only tests. They check that driver/wrap does not change the behavior of
// dqlite's driver, on a real cluster of three nodes.
//
// dqlite is SQLite, replicated by Raft. It is a C library; its driver is
// github.com/canonical/go-dqlite. Both come from Debian's packages libdqlite-dev and
// golang-github-canonical-go-dqlite-dev, and everything here needs the build tag libsqlite3,
// with which the driver uses the system's SQLite.
package dqlite
