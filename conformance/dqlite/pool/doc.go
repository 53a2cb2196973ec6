// Package pool has only tests: of pool/dqlite with go-dqlite, over a real cluster of three nodes. They
// kill and pause the leader under load, and read every acknowledged row back. As everything here, they
// need the build tag libsqlite3.
package pool
