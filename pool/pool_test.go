package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

func ids(events []driver.Event) []int {
	var ids []int
	for _, e := range events {
		ids = append(ids, int(e.Conn))
	}
	return ids
}

// TestEventLogKeepsTheLatest checks that the zero EventLog is ready to use. A full log drops
// the oldest events and counts them.
func TestEventLogKeepsTheLatest(t *testing.T) {
	for _, size := range []int{1, 2, 5, 7} {
		log := pool.NewEventLog(size)
		for i := range 12 {
			log.Record(driver.Event{Conn: driver.ConnID(i + 1)})
			events := log.Events()
			var want []int
			for id := max(1, i+2-size); id <= i+1; id++ {
				want = append(want, id)
			}
			if got := ids(events); !slices.Equal(got, want) {
				t.Fatalf("size %d, after %d events: kept %v, want %v", size, i+1, got, want)
			}
			for _, e := range events {
				if e.Seq != uint64(e.Conn) {
					t.Errorf("size %d: event %d has number %d", size, e.Conn, e.Seq)
				}
			}
			if recorded, dropped := log.Recorded(), log.Dropped(); recorded != uint64(i+1) || dropped != uint64(i+1-len(want)) {
				t.Errorf("size %d, after %d events: %d recorded, %d dropped", size, i+1, recorded, dropped)
			}
		}
	}
	var zero pool.EventLog
	for range pool.DefaultEvents + 1 {
		zero.Record(driver.Event{})
	}
	if n := len(zero.Events()); n != pool.DefaultEvents || zero.Dropped() != 1 {
		t.Errorf("the zero EventLog keeps %d events and has dropped %d", n, zero.Dropped())
	}
}

// TestEventLogRecordAllocatesNothing checks that recording in a full log allocates nothing.
func TestEventLogRecordAllocatesNothing(t *testing.T) {
	log := pool.NewEventLog(8)
	for range 8 {
		log.Record(driver.Event{})
	}
	s := log.Subscribe(1)
	defer s.Close()
	if n := testing.AllocsPerRun(100, func() { log.Record(driver.Event{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSubscribe checks that a subscriber gets later events in order, as long as it has room.
// The events that it loses are counted for this subscriber only.
func TestSubscribe(t *testing.T) {
	log := pool.NewEventLog(3)
	log.Record(driver.Event{Conn: 1})
	slow, quick := log.Subscribe(2), log.Subscribe(10)
	for i := range 5 {
		log.Record(driver.Event{Conn: driver.ConnID(i + 2)})
	}
	if slow.Lost() != 3 || quick.Lost() != 0 {
		t.Errorf("lost %d and %d", slow.Lost(), quick.Lost())
	}
	slow.Close()
	slow.Close()
	log.Record(driver.Event{Conn: 7})
	quick.Close()
	for name, tc := range map[string]struct {
		s    *pool.Subscription
		want []int
	}{"slow": {slow, []int{2, 3}}, "quick": {quick, []int{2, 3, 4, 5, 6, 7}}} {
		var got []driver.Event
		for e := range tc.s.C() { // ends because the subscription is closed
			got = append(got, e)
		}
		if !slices.Equal(ids(got), tc.want) {
			t.Errorf("%s got %v, want %v", name, ids(got), tc.want)
		}
	}
}

// TestEventLogConcurrency checks that many goroutines can record, read, subscribe and
// unsubscribe at the same time. Every lost event is counted.
func TestEventLogConcurrency(t *testing.T) {
	const writers, each = 8, 500
	log := pool.NewEventLog(64)
	all := log.Subscribe(writers * each)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				log.Record(driver.Event{Kind: driver.KindAcquire})
			}
		})
		wg.Go(func() {
			for range 50 {
				s := log.Subscribe(1)
				log.Events()
				s.Close()
			}
		})
	}
	wg.Wait()
	all.Close()
	var seq uint64
	for e := range all.C() {
		if seq++; e.Seq != seq {
			t.Fatalf("event %d follows event %d", e.Seq, seq-1)
		}
	}
	if seq != writers*each || log.Recorded() != seq || log.Dropped() != seq-64 {
		t.Errorf("%d received, %d recorded, %d dropped", seq, log.Recorded(), log.Dropped())
	}
}

func openDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(t.TempDir())+"/test.db?_pragma=busy_timeout(120000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestObserveRefuses checks that each refusal of Observe contains a reason and a remedy.
func TestObserveRefuses(t *testing.T) {
	plain, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := pool.Observe(t.Context(), plain, pool.ObserveConfig{}); !errors.Is(err, pool.ErrNotObservable) || !strings.Contains(err.Error(), driver.Name) {
		t.Errorf("another driver: %v", err)
	}
	if _, err := pool.Observe(t.Context(), nil, pool.ObserveConfig{}); !errors.Is(err, pool.ErrNotObservable) {
		t.Errorf("nil: %v", err)
	}
	if _, err := pool.Observe(t.Context(), openDB(t), pool.ObserveConfig{Events: -3}); !errors.Is(err, pool.ErrInvalidConfig) || !strings.Contains(err.Error(), "-3") {
		t.Errorf("a negative number: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Observe(ctx, openDB(t), pool.ObserveConfig{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestObserve checks that, under load, the events, the sums made of them and the numbers of
// database/sql agree.
func TestObserve(t *testing.T) {
	db := openDB(t)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("observing opened %d connections", n)
	}
	if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := db.Exec("INSERT INTO t VALUES (?)", 1); err != nil {
					t.Error(err)
				}
				var n int
				if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()

	s, sqlStats := obs.Stats(), db.Stats()
	if s.Acquires != s.Releases || s.Acquires != 801 || s.Discards != 0 {
		t.Errorf("801 calls: %d acquires, %d releases, %d discards", s.Acquires, s.Releases, s.Discards)
	}
	if s.Open != sqlStats.OpenConnections || s.InUse != 0 || s.Idle != s.Open || s.Max != 4 || s.Waits != sqlStats.WaitCount {
		t.Errorf("stats %+v\ndatabase/sql %+v", s, sqlStats)
	}
	if int(s.Connects-s.Closes) != s.Open {
		t.Errorf("%d connections were opened, %d closed, %d are open", s.Connects, s.Closes, s.Open)
	}
	counts := make(map[driver.Kind]uint64)
	var used time.Duration
	for _, e := range obs.Events() {
		counts[e.Kind]++
		if e.Kind == driver.KindRelease {
			used += e.Duration
		}
	}
	if counts[driver.KindConnect] != s.Connects || counts[driver.KindAcquire] != s.Acquires || counts[driver.KindClose] != s.Closes || used != s.UseTime {
		t.Errorf("events %v, in use for %v\nstats %+v", counts, used, s)
	}
	db.Close()
	s = obs.Stats()
	if s.Connects != s.Closes || s.ClosedFor[driver.ReasonDatabaseClosed]+s.ClosedFor[driver.ReasonSurplus] != s.Closes || s.CloseErrors != 0 {
		t.Errorf("after close: %+v", s)
	}
	if s.Events != uint64(len(obs.Events())) || s.EventsDropped != 0 {
		t.Errorf("%d events, %d dropped, %d kept", s.Events, s.EventsDropped, len(obs.Events()))
	}
	obs.Close()
}

// TestObserverClose checks that an Observer sees all events from Observe until Close, whatever
// other Observers exist.
func TestObserverClose(t *testing.T) {
	db := openDB(t)
	first, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sub := first.Subscribe(10)
	defer sub.Close()
	db.Ping()
	second, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	first.Close()
	db.Ping()
	if n := len(first.Events()); n != 3 { // connect, acquire, release
		t.Errorf("the first saw %d events", n)
	}
	if n := len(second.Events()); n != 2 { // acquire, release
		t.Errorf("the second saw %d events", n)
	}
	n := 0
	for range sub.C() { // ends because the Observer is closed
		n++
	}
	if n != 3 {
		t.Errorf("the subscriber got %d events", n)
	}
}

// TestObserveConnectError checks that a failed connect is counted, and recorded with SQLite's
// code but without its message.
func TestObserveConnectError(t *testing.T) {
	db, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer obs.Close()
	db.Ping()
	s := obs.Stats()
	if s.ConnectErrors != 1 || s.Connects != 0 {
		t.Errorf("stats %+v", s)
	}
	if e := obs.Events(); len(e) != 1 || e[0].Err != "526" {
		t.Errorf("events %+v", e)
	}
}

func TestUtilization(t *testing.T) {
	for _, tc := range []struct {
		stats pool.Stats
		want  float64
	}{
		{pool.Stats{}, 0},
		{pool.Stats{Max: 4}, 0},
		{pool.Stats{Max: 4, Open: 2, InUse: 1}, 0.25},
		{pool.Stats{Open: 2, InUse: 1}, 0.5},
		{pool.Stats{Max: 4, Open: 4, InUse: 4}, 1},
	} {
		if got := tc.stats.Utilization(); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.stats, got, tc.want)
		}
	}
}

func ExampleObserve() {
	db, err := sql.Open("sqlitemw", ":memory:")
	if err != nil {
		panic(err)
	}
	obs, err := pool.Observe(context.Background(), db, pool.ObserveConfig{})
	if err != nil {
		panic(err)
	}
	defer obs.Close()

	db.Exec("CREATE TABLE t(a)")
	db.Exec("INSERT INTO t VALUES (?)", 1)
	db.Close()

	for _, e := range obs.Events() {
		fmt.Printf("%d %v, use %d%s\n", e.Seq, e.Kind, e.Uses, because(e.Reason))
	}
	fmt.Println(obs.Stats().Acquires, "acquires")
	// Output:
	// 1 connect, use 0
	// 2 acquire, use 1
	// 3 release, use 1
	// 4 acquire, use 2
	// 5 release, use 2
	// 6 close, use 2, because: database closed
	// 2 acquires
}

func because(r driver.Reason) string {
	if r == "" {
		return ""
	}
	return ", because: " + string(r)
}
