package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestEventLogDefaults checks that a size of zero or less means the default, and that a
// subscription always has room for one event.
func TestEventLogDefaults(t *testing.T) {
	for _, size := range []int{0, -1} {
		log := pool.NewEventLog(size)
		for range pool.DefaultEvents + 2 {
			log.Record(driver.Event{})
		}
		if n := len(log.Events()); n != pool.DefaultEvents {
			t.Errorf("NewEventLog(%d) keeps %d events, want %d", size, n, pool.DefaultEvents)
		}
		for _, buffer := range []int{0, -5} {
			s := log.Subscribe(buffer)
			log.Record(driver.Event{})
			log.Record(driver.Event{})
			if len(s.C()) != 1 || s.Lost() != 1 {
				t.Errorf("Subscribe(%d) has room for %d events and lost %d, want 1 and 1", buffer, len(s.C()), s.Lost())
			}
			s.Close()
		}
	}
}

// TestEventsAreACopy checks that a caller may change the slice that Events returns.
func TestEventsAreACopy(t *testing.T) {
	log := pool.NewEventLog(3)
	for i := range 5 {
		log.Record(driver.Event{Conn: driver.ConnID(i)})
	}
	for i := range log.Events() {
		events := log.Events()
		events[i].Conn = 99
		_ = append(events[:i], driver.Event{Conn: 98})
	}
	if got, want := ids(log.Events()), []int{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("a caller changed what it was given, and the log now keeps %v, want %v", got, want)
	}
}

// TestEventLogKeepsAllValues checks that an event keeps all its values except its number.
func TestEventLogKeepsAllValues(t *testing.T) {
	e := driver.Event{
		Seq: 77, Time: time.Unix(1, 0), Kind: driver.KindDiscard, Conn: 3, Duration: 4, Idle: 5, Age: 6, Uses: 7,
		Reason: driver.ReasonPanic, Err: "8", Background: true, Derived: true,
	}
	var log pool.EventLog
	s := log.Subscribe(1)
	defer s.Close()
	log.Record(e)
	e.Seq = 1
	if got := log.Events()[0]; got != e {
		t.Errorf("got %+v, want %+v", got, e)
	}
	if got := <-s.C(); got != e {
		t.Errorf("a subscriber got %+v, want %+v", got, e)
	}
}

// TestSubscriptionCloseWhileRecording checks that a subscriber may close its subscription at
// any time while others record. It gets no event after that.
func TestSubscriptionCloseWhileRecording(t *testing.T) {
	var log pool.EventLog
	stop := make(chan struct{})
	var recording, reading sync.WaitGroup
	for range 2 {
		recording.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					log.Record(driver.Event{})
				}
			}
		})
	}
	for range 8 {
		reading.Go(func() {
			for range 20 {
				s := log.Subscribe(4)
				last := (<-s.C()).Seq
				var closing sync.WaitGroup
				closing.Go(s.Close)
				closing.Go(s.Close)
				for e := range s.C() {
					if e.Seq <= last {
						t.Errorf("event %d comes after event %d", e.Seq, last)
					}
					last = e.Seq
				}
				closing.Wait()
			}
		})
	}
	reading.Wait()
	close(stop)
	recording.Wait()
}

// TestClosedFor checks that ClosedFor counts closed SQLite connections by reason.
func TestClosedFor(t *testing.T) {
	use := func(t *testing.T, db *sql.DB) {
		t.Helper()
		if _, err := db.Exec("SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	take := func(t *testing.T, db *sql.DB) *sql.Conn {
		t.Helper()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for want, do := range map[driver.Reason]func(*testing.T, *sql.DB){
		driver.ReasonDatabaseClosed: use,
		driver.ReasonExpired: func(t *testing.T, db *sql.DB) {
			db.SetConnMaxIdleTime(time.Minute)
			use(t, db)
			time.Sleep(3 * time.Minute)
		},
		driver.ReasonSurplus: func(t *testing.T, db *sql.DB) {
			db.SetMaxIdleConns(-1)
			use(t, db)
		},
		driver.ReasonShrunk: func(t *testing.T, db *sql.DB) {
			use(t, db)
			db.SetMaxIdleConns(-1)
		},
		driver.ReasonBad: func(t *testing.T, db *sql.DB) {
			conn := take(t, db)
			conn.Raw(func(any) error { return sqldriver.ErrBadConn })
			conn.Close()
		},
		driver.ReasonPanic: func(t *testing.T, db *sql.DB) {
			conn := take(t, db)
			defer conn.Close()
			conn.Raw(func(c any) error {
				return c.(driver.Conn).Raw().CreateFunction("boom", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { panic("a program's own") })
			})
			defer func() { recover() }()
			conn.ExecContext(t.Context(), "SELECT boom()")
		},
		driver.ReasonSick: func(t *testing.T, db *sql.DB) {
			conn := take(t, db)
			defer conn.Close()
			conn.Raw(func(c any) error {
				return c.(driver.Conn).Raw().CreateFunction("spoil", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
					ctx.ResultError(sqlite3.CORRUPT)
				})
			})
			conn.ExecContext(t.Context(), "SELECT spoil()")
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := sql.Open(driver.Name, ":memory:")
				if err != nil {
					t.Fatal(err)
				}
				obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
				if err != nil {
					t.Fatal(err)
				}
				defer obs.Close()
				do(t, db)
				db.Close()
				s := obs.Stats()
				if want := map[driver.Reason]uint64{want: 1}; !maps.Equal(s.ClosedFor, want) || s.Closes != 1 {
					t.Errorf("closed for %v, %d in all, want %v", s.ClosedFor, s.Closes, want)
				}
				discarded := want == driver.ReasonBad || want == driver.ReasonPanic || want == driver.ReasonSick
				if s.Acquires != s.Releases+s.Discards || (s.Discards == 1) != discarded {
					t.Errorf("%d acquires, %d releases, %d discards", s.Acquires, s.Releases, s.Discards)
				}
				s.ClosedFor[want] = 99
				if n := obs.Stats().ClosedFor[want]; n != 1 {
					t.Errorf("a caller changed its Stats, and the next count %d", n)
				}
			})
		})
	}
}

// TestStatsSums checks that the sums in Stats equal those of the events, to the nanosecond.
func TestStatsSums(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errTerm := errors.New("secret")
		opening := 5 * time.Second
		connector, err := driver.NewConnector(":memory:", driver.Config{
			Init: func(*sqlite3.Conn) error { time.Sleep(opening); return nil },
			Term: func(*sqlite3.Conn) error { return errTerm },
		})
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer obs.Close()
		hold := func(d time.Duration) *sql.Conn {
			t.Helper()
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
			return conn
		}
		a := hold(3 * time.Second)
		opening = 2 * time.Second
		b := hold(7 * time.Second)
		a.Close() // after 3 + 2 + 7 seconds
		b.Close() // after 7
		hold(time.Second).Close()
		db.Close()

		s := obs.Stats()
		want := pool.Stats{
			Connects: 2, Acquires: 3, Releases: 3, Closes: 2, CloseErrors: 2,
			ConnectTime: 7 * time.Second, LongestConnect: 5 * time.Second,
			UseTime: 20 * time.Second, LongestUse: 12 * time.Second, PeakInUse: 2,
			UseTimes: s.UseTimes,
			Events:   11, Warnings: 1, // the second connection has an in-memory database of its own
		}
		var uses []time.Duration
		for _, b := range s.UseTimes.Buckets() {
			if b.Count == 1 {
				uses = append(uses, b.Below)
			}
		}
		if want := []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second}; !slices.Equal(uses, want) || s.UseTimes.Count() != 3 {
			t.Errorf("uses below %v, want %v", uses, want) // 1, 7 and 12 seconds
		}
		if !maps.Equal(s.ClosedFor, map[driver.Reason]uint64{driver.ReasonDatabaseClosed: 2}) {
			t.Errorf("closed for %v", s.ClosedFor)
		}
		s.ClosedFor = nil
		if fmt.Sprintf("%+v", s) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
		for _, e := range obs.Events() {
			if strings.Contains(fmt.Sprintf("%+v", e), errTerm.Error()) {
				t.Errorf("an event quotes an error: %+v", e)
			}
		}
	})
}

// TestObserveConnInUse checks the time in use of a connection that was acquired before
// Observe. It is known for a new connection. Otherwise it is zero.
func TestObserveConnInUse(t *testing.T) {
	for name, tc := range map[string]struct {
		before int // how often the connection has been used
		want   time.Duration
	}{"new": {0, time.Hour}, "reused": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, err := sql.Open(driver.Name, ":memory:")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				for range tc.before {
					db.Ping()
					time.Sleep(time.Hour)
				}
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
				if err != nil {
					t.Fatal(err)
				}
				defer obs.Close()
				if n := len(obs.Events()); n != 0 {
					t.Errorf("observing must not record events, but there are %d", n)
				}
				conn.Close()
				if s := obs.Stats(); s.Releases != 1 || s.UseTime != tc.want || s.Acquires != 0 || s.Open != 1 {
					t.Errorf("the known time in use is %v: %+v", tc.want, s)
				}
				if e := obs.Events()[0]; e.Uses != uint64(tc.before+1) || e.Age != time.Duration(tc.before+1)*time.Hour {
					t.Errorf("uses and age are always known: %+v", e)
				}
			})
		})
	}
}

var registerMine = sync.OnceFunc(func() { sql.Register("mine of pool_test", &driver.Driver{}) })

// TestObserveAnyDatabaseOfDriver checks that any database of this driver can be observed,
// however it was opened, and no other.
func TestObserveAnyDatabaseOfDriver(t *testing.T) {
	registerMine()
	connector, err := driver.NewConnector(":memory:", driver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	registered, err := sql.Open("mine of pool_test", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	base, err := (&sqlite3driver.SQLite{}).OpenConnector(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	wrapped := sql.OpenDB(wrap.NewConnector(base, wrap.Config{}))
	for name, db := range map[string]*sql.DB{"a connector": sql.OpenDB(connector), "a driver of one's own": registered, "a wrapped driver": wrapped} {
		obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := db.Ping(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		db.Close()
		if s := obs.Stats(); s.Connects != 1 || s.Closes != 1 {
			t.Errorf("%s: observed %+v", name, s)
		}
		if err := obs.Close(); err != nil {
			t.Errorf("%s: Close must not fail, but returns %v", name, err)
		}
	}

	plain := sql.OpenDB(base)
	defer plain.Close()
	_, err = pool.Observe(t.Context(), plain, pool.ObserveConfig{})
	if !errors.Is(err, pool.ErrNotObservable) || !strings.Contains(err.Error(), fmt.Sprintf("%T", plain.Driver())) {
		t.Errorf("a database of another driver must be refused with the driver's name, but: %v", err)
	}
}

// TestObserveRefusalNamesTheField checks that a refusal names the field and the remedy.
func TestObserveRefusalNamesTheField(t *testing.T) {
	db := openDB(t)
	_, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: -3})
	for _, part := range []string{"ObserveConfig.Events", "-3", "use 0"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error must say %q: %v", part, err)
		}
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, err := pool.Observe(ctx, db, pool.ObserveConfig{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context whose deadline has passed: %v", err)
	}
	if obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: 1}); err != nil {
		t.Error(err)
	} else {
		db.Ping()
		if s := obs.Stats(); len(obs.Events()) != 1 || s.EventsDropped != s.Events-1 {
			t.Errorf("one event must be kept and the others counted, but %d are kept of %d, %d dropped", len(obs.Events()), s.Events, s.EventsDropped)
		}
		obs.Close()
	}
}

// TestStatsUnderLoad checks that Stats are consistent at any time under load. Observers are
// added and closed meanwhile, and those that stay see all events.
func TestStatsUnderLoad(t *testing.T) {
	db := openDB(t)
	db.SetMaxOpenConns(3)
	db.SetMaxIdleConns(1) // so that connections are opened and closed often
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: 64})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	all := obs.Subscribe(100_000)
	var working, watching sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		watching.Go(func() {
			var last pool.Stats
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := obs.Stats()
				switch {
				case s.Releases+s.Discards > s.Acquires, s.Closes > s.Connects:
					t.Errorf("more ends than begins: %+v", s)
				case s.Acquires < last.Acquires, s.Events < last.Events, s.UseTime < last.UseTime:
					t.Errorf("sums must only grow: %+v\nafter %+v", s, last)
				case s.Open > s.Max, s.InUse+s.Idle != s.Open, s.Utilization() < 0, s.Utilization() > 1:
					t.Errorf("the pool is larger than allowed: %+v", s)
				}
				events := obs.Events()
				for i := range events[:max(0, len(events)-1)] {
					if events[i+1].Seq != events[i].Seq+1 {
						t.Errorf("event numbers must have no gaps, but %d follows %d", events[i+1].Seq, events[i].Seq)
					}
				}
				last = s
			}
		})
	}
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			o, err := pool.Observe(context.Background(), db, pool.ObserveConfig{})
			if err != nil {
				t.Error(err)
				return
			}
			o.Close()
			o.Close()
		}
	})
	for range 8 {
		working.Go(func() {
			for range 50 {
				var n int
				if err := db.QueryRow("SELECT ?", 1).Scan(&n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	close(stop)
	watching.Wait()
	db.Close()

	s, o := obs.Stats(), other.Stats()
	if s.Acquires != 400 || s.Releases != 400 || s.Connects != s.Closes || s.Connects == 0 {
		t.Errorf("400 calls: %+v", s)
	}
	o.EventsDropped, o.Events = s.EventsDropped, s.Events
	o.PeakInUse = s.PeakInUse // two observers may get the events of several connections in different orders
	if !maps.Equal(s.ClosedFor, o.ClosedFor) {
		t.Errorf("two observers saw connections closed for %v and %v", s.ClosedFor, o.ClosedFor)
	}
	s.ClosedFor, o.ClosedFor = nil, nil
	if fmt.Sprint(s) != fmt.Sprint(o) {
		t.Errorf("two observers saw\n%+v\n%+v", s, o)
	}
	all.Close()
	var seq uint64
	lives := make(map[driver.ConnID][]driver.Kind)
	for e := range all.C() {
		seq++
		if e.Seq != seq {
			t.Fatalf("a subscriber with room must get all events in order, but got %d instead of %d", e.Seq, seq)
		}
		lives[e.Conn] = append(lives[e.Conn], e.Kind)
	}
	if seq != s.Events || all.Lost() != 0 {
		t.Errorf("a subscriber with room got %d of %d events, and lost %d", seq, s.Events, all.Lost())
	}
	for id, kinds := range lives {
		if kinds[0] != driver.KindConnect || kinds[len(kinds)-1] != driver.KindClose {
			t.Errorf("the life of connection %v: %v", id, kinds)
		}
		for i, k := range kinds[1 : len(kinds)-1] {
			if want := []driver.Kind{driver.KindAcquire, driver.KindRelease}[i%2]; k != want {
				t.Fatalf("the life of connection %v: %v", id, kinds)
			}
		}
	}
	obs.Close()
	other.Close()
}

// TestStatsAreASnapshot checks that Stats are a consistent snapshot: each event recorded by
// then is either kept or dropped.
func TestStatsAreASnapshot(t *testing.T) {
	db := openDB(t)
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Events: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer obs.Close()
	db.Ping()
	stop := make(chan struct{})
	var working sync.WaitGroup
	for range 2 {
		working.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					db.Ping()
				}
			}
		})
	}
	wrong, last := 0, pool.Stats{}
	for s := obs.Stats(); s.Events < 20_000; s = obs.Stats() {
		if s.EventsDropped != s.Events-1 {
			wrong, last = wrong+1, s
		}
	}
	close(stop)
	working.Wait()
	if wrong > 0 {
		t.Errorf("one event must be kept, but %d Stats differ: of %d events %d were dropped", wrong, last.Events, last.EventsDropped)
	}
}

// TestUtilizationAfterLoweredLimit checks that Utilization stays between 0 and 1, however the
// limit is changed.
func TestUtilizationAfterLoweredLimit(t *testing.T) {
	db := openDB(t)
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer obs.Close()
	if got := obs.Stats().Utilization(); got != 0 {
		t.Errorf("with no connection, utilization is %v", got)
	}
	for range 3 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if got := obs.Stats().Utilization(); got != 1 {
		t.Errorf("with no limit and all in use, utilization is %v", got)
	}
	db.SetMaxOpenConns(6)
	if got := obs.Stats().Utilization(); got != 0.5 {
		t.Errorf("with 3 of 6 in use, utilization is %v", got)
	}
	db.SetMaxOpenConns(2)
	if got := obs.Stats().Utilization(); got != 1 {
		t.Errorf("with 3 in use and a limit lowered to 2, utilization is %v, want 1", got)
	}
}

func ExampleEventLog() {
	var log pool.EventLog
	connector, err := driver.NewConnector(":memory:", driver.Config{Recorder: &log})
	if err != nil {
		panic(err)
	}
	events := log.Subscribe(16)

	db := sql.OpenDB(connector)
	db.Ping()
	db.Close()

	events.Close()
	for e := range events.C() {
		fmt.Printf("%d %v%s\n", e.Seq, e.Kind, because(e.Reason))
	}
	fmt.Println(log.Recorded(), "recorded,", log.Dropped(), "dropped,", events.Lost(), "lost")
	// Output:
	// 1 connect
	// 2 acquire
	// 3 release
	// 4 close, because: database closed
	// 4 recorded, 0 dropped, 0 lost
}

func ExampleStats_Utilization() {
	fmt.Println(pool.Stats{Max: 8, Open: 4, InUse: 2}.Utilization()) // of the limit
	fmt.Println(pool.Stats{Open: 4, InUse: 2}.Utilization())         // of the open connections
	// Output:
	// 0.25
	// 0.5
}
