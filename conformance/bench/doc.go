// Command bench measures "sqlitemw" beside the drivers a program would use
// instead, in one process and interleaved, and holds it to its budgets.
//
//	go run . -tour     the short tour: every contender, the main workloads; writes RESULTS.md and results.svg
//	go run . -long     all workloads at full size, and how cost grows; writes GROWTH.md and growth.svg besides
//	go run . -check    the budgets alone, until each is decided; fails if one that is on is broken
//	go run . -list     contenders, workloads and budgets
//
// mattn/go-sqlite3 needs cgo and registers the name that ncruces' driver has,
// so it takes part only if it is asked for and ncruces' driver gives way:
//
//	go run -tags mattn -ldflags="-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces" . -tour
//
// # How it measures
//
// All contenders of a workload are open at once, each on its own copy of one
// database file. Each round runs one batch of each contender, in an order
// shuffled anew, so that whatever else the machine does hits all alike. A
// batch takes some milliseconds and counts as one observation. What is
// reported is the median over the rounds, half the distance between the
// quartiles as its spread, and the ratio of medians to the bare driver with a
// bootstrap confidence interval that resamples whole rounds.
//
// Settings are given in each driver's own way, and read back from every
// connection before anything is measured. Every result is compared with what
// it must be, and what was written is counted by a connection of its own: a
// contender that does less than it was asked is an error, not a winner.
//
// # The three states
//
// A contender that traces is measured without an SDK, with an SDK that samples
// nothing, and with one that samples everything and hands it to a batching
// exporter that drops it. With an SDK, the calls of a batch are made under one
// root span, as those of a request are; the root is not part of the time, and
// what is queued for export is flushed before the next contender's turn.
package main
