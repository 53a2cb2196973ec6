// Package walsync lets transactions share a sync of the write-ahead log.
//
// With synchronous=FULL, SQLite syncs the WAL in each commit, while it holds the write lock. So
// the next transaction begins when the disk has finished. A [File] defers that sync: SQLite goes
// on and publishes the commit, and the committer gets a ticket. It lets the next transaction begin
// and then waits for its ticket in [Group.Wait]. One of those who wait syncs the WAL, for all
// commits whose frames were written before the sync began.
//
// For SQLite, the setting stays FULL: it asks for each sync, and only the sync of a commit in a
// call that will wait for it is deferred. Every other sync is made at once: of a header, of a
// checkpoint, and of a commit outside of such a call.
//
// Files in reading order: file.go, group.go, firstpage.go and disk_linux.go.
package walsync
