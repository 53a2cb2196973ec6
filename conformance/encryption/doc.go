// Package encryption tests the driver and the pool with files that
// github.com/ncruces/go-sqlite3/vfs/adiantum encrypts. The right key works. The errors for a
// missing or wrong key name the cause and the file, and keep the key secret.
package encryption
