// Command bench compares "sqlitemw" with the drivers that a program would use instead, in one
// process and interleaved, and checks its budgets.
//
//	go run . -tour     the short tour: every contender, the main workloads
//	go run . -long     all workloads at full size, and how cost grows
//	go run . -check    only the budgets, until each is decided
//	go run . -list     contenders, workloads and budgets
//
// -tour and -long write RESULTS.md and results.svg. -long also writes GROWTH.md and growth.svg.
// -check fails if a budget that is on is broken.
//
// mattn/go-sqlite3 needs cgo, and registers the same name as ncruces' driver. It runs only if
// this command is built so that ncruces' driver has another name:
//
//	go run -tags mattn -ldflags="-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces" . -tour
//
// # How it measures
//
// All contenders of a workload are open at the same time, each on its own copy of one database
// file. Each round runs one batch of each contender, in a new random order, so that other load
// of the machine affects all alike. A batch takes some milliseconds and is one observation. The
// tables report the median over the rounds, half the distance between the quartiles as its
// spread, and the ratio of medians to the bare driver. The ratio has a bootstrap confidence
// interval that resamples whole rounds.
//
// Settings are made in each driver's own way, and read back from every connection before
// anything is measured. Workloads that write read them from the connections that they measure.
// Every result is compared with the expected one. A separate connection counts what was written.
// A contender that does less than required is thus an error, and does not win.
//
// # Durability
//
// A workload that writes runs at synchronous=normal, and again at synchronous=full under the same
// name with -full at its end. The latter waits for the disk at every commit. So databases are in
// a directory on a disk: -dir, or else sqlitemw-bench in the user's cache directory. In a file
// system in memory, such a workload is skipped.
//
// Before any workload at synchronous=full, the disk is measured: the median of writing 4 KB and
// fdatasync. If it is not between 0.2 and 20 ms, budgets at synchronous=full are skipped, with
// that reason.
//
// # The three states
//
// A contender that traces is measured in three states: without an SDK, with an SDK that samples
// nothing, and with one that samples everything. The last passes spans to a batching exporter
// that drops them. With an SDK, the calls of a batch have one root span, like those of a
// request. The root is not part of the time. Queued spans are flushed before the next contender
// runs.
package main
