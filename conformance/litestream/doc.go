// Package litestream tests that a pool and Litestream work on the same file. The real Litestream,
// a tool of this module, replicates the file while the pool writes and reads it. What Litestream
// restores must then be what the database contains.
//
// https://litestream.io
package litestream
