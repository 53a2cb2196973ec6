// Package fusefs is a file system in memory that loses power and fails on request. A power
// failure or a broken disk can thus be simulated below a database that maps shared memory and
// is used by several processes. A VFS of SQLite cannot offer that.
//
// # What is durable
//
// For each file, the file system keeps the contents that were synced, and every later write and
// truncation. For its only directory, it keeps the names that were synced, and every later
// creation, removal and rename. [FS.Freeze] returns an [Image] as a disk might hold it after a
// power failure:
//
//   - everything that was synced;
//   - a random part of what was not synced: nothing, all, a prefix, or any subset of the
//     sectors of 512 bytes. Past the synced end of a file, a sector that did not survive may
//     also hold garbage;
//   - a prefix of the changes to the directory, because file systems keep them in a journal. A
//     rename is one change. Changes become durable when the directory is synced. Unless
//     [Options].Strict is set, they also become durable when a file that they name is synced,
//     as on ext4.
//
// A file whose name ends in "-shm" is never part of an image: SQLite empties it
// when the first connection opens it.
//
// # Faults
//
// [FS.Inject] sets a function that is called before each operation and returns an errno. [Nth]
// and [After] make such functions. [FS.Stall] blocks operations until they are released.
// [FS.SetQuota] makes the disk full. A failed sync behaves as on Linux: its data may have
// reached the disk or not, it is never synced again, and each open handle gets the error once.
// With [Options].Drop, reads then return the synced contents, as when the kernel has evicted
// the pages.
//
// # Caching and shared memory
//
// Files are opened with direct I/O, so that each read and write of a process is one operation
// here. Files ending in "-shm" use the page cache instead, because direct I/O excludes shared
// mappings. The cache is kept between opens. All processes of the machine share the page cache,
// so the mappings are coherent. The file system gets writes to them late or never, and does not
// need them. With [Options].Locks, locks are kept here, for each open handle, because SQLite's
// driver uses only open file description locks.
//
// # Deadlocks
//
// The process that serves the file system must not use it: a page fault or a close may block a
// thread that the server needs. Start a child process for that.
package fusefs
