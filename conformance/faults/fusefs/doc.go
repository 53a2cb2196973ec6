// Package fusefs is a file system in memory that loses power and fails on
// request. It exists so that a power failure or a broken disk can happen beneath a
// database that maps shared memory and is used by several processes, which a VFS
// of SQLite cannot offer.
//
// # What is durable
//
// The file system remembers for each file the contents that were synced, and
// every write and truncation since. It remembers the same for the one directory:
// the names that were synced, and every creation, removal and rename since.
// [FS.Freeze] returns an [Image] as a disk might hold it after a power failure:
//
//   - what was synced;
//   - of what was not, something at random: nothing, all, a prefix, or any subset
//     of the sectors of 512 bytes; past the synced end of a file, a sector that did
//     not survive may also hold garbage;
//   - of the changes to the directory, a prefix, because file systems keep them in
//     a journal; a rename is one change. They become durable when the directory is
//     synced, and, unless [Options].Strict is set, also when a file is synced that
//     they name, as on ext4.
//
// A file whose name ends in "-shm" is never part of an image: SQLite empties it
// when the first connection opens it.
//
// # Faults
//
// [FS.Inject] asks a function before each operation for an errno. [Nth] and [After]
// make such functions. [FS.Stall] holds operations until they are released.
// [FS.SetQuota] makes the disk full. A failed sync behaves as on Linux: what was to
// be synced may have reached the disk or not, is never synced again, and is reported
// once to each open handle; with [Options].Drop reads see the synced contents
// afterwards, as when the kernel has evicted the pages.
//
// # Caching and shared memory
//
// Files are opened with direct I/O, so that each read and write of a process is one
// operation here. Files ending in "-shm" are opened through the page cache instead,
// which is kept between opens, because direct I/O excludes shared mappings. All
// processes of the machine share the page cache, so the mappings are coherent; the
// file system sees what is written to them late or never, and does not need to.
// With [Options].Locks, locks are kept here, by open handle, because SQLite's driver
// uses open file description locks only.
//
// # Deadlocks
//
// The process that serves the file system must not use it: a page fault or a
// close may block a thread that the server needs. Start a child for that.
package fusefs
