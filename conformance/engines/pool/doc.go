// Package pool has only tests: of pool/postgres with pgx, over a real primary and real synchronous
// standbys. They kill, pause and promote servers under load, and read every acknowledged row back.
package pool
