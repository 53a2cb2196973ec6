// Package encryption holds the driver and the pool against files that
// github.com/ncruces/go-sqlite3/vfs/adiantum encrypts: the right key works, and the errors of a
// missing or wrong one say so, name the file and keep the key secret.
package encryption
