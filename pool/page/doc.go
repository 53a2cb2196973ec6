// Package page is a live page of pools: which callers hold connections and which wait, which
// statements cost most, and what has happened. It shows the pools of package pool, all pools of a
// [github.com/sqlitemw/sqlitemw/pool.Manager], databases that
// [github.com/sqlitemw/sqlitemw/pool.Observe] observes, and everything else that implements
// [core.View].
//
//	h, err := page.New(page.Config{
//		Pools: page.List(p), // or manager.Views
//		Allow: page.Loopback,
//	})
//	if err != nil {
//		return err
//	}
//	mux.Handle("/debug/sql/", h)
//
// # Where it is mounted
//
// The handler does not listen and does not register itself. It works below any path, with or
// without [http.StripPrefix], and with or without a slash at the end of the path. The page and its
// files find each other by the query: /debug/sql?file=state.json is the same as
// /debug/sql/state.json, as far as the pattern of the [http.ServeMux] lets both through.
//
// # Who may see it
//
// Config.Allow decides, for every request. There is no default, because each one would be wrong
// for somebody. There are two ready-made choices:
//
//   - [Loopback] lets in requests of this machine only. It is not for a program behind a proxy.
//   - [Guarded] lets in everyone. It is for a handler that is behind authentication.
//
// The page changes nothing, and answers only GET and HEAD. It contains no arguments and no
// literals: of a query it shows the summary, and of a statement the text without literals. It does
// show names: of pools, owners, tables, columns and functions. Config.HideNames replaces the names
// of pools and owners.
//
// Headers of the response make the browser run only the page's own script, show the page in no
// frame, and keep no copy. Data is refused if the browser says (Sec-Fetch-Site) that another site
// requests it. Control characters, and those that change the direction of text, are shown as
// escapes such as \u202e.
//
// # What it serves
//
//   - the page, at the path of the handler itself
//   - state.json: the pools, the holders of connections and the waiters
//   - pool.json?pool=ID: one pool in detail: histograms, commits for each sync, settings, cache
//   - events.json?pool=ID&after=N: the events of one pool with a Seq of more than N
//   - statements.json: statistics by statement, if Config.Tracer has [tracing.Config].Statements. The
//     pools need the same Tracer
//   - plan.json?id=ID: the query plan of a slow statement; null if none has been taken
//   - state.txt: the state as text of at most 100 columns, for curl and reports of bugs
//
// Without pool, pool.json and events.json are about the first pool. IDs are those in state.json
// and statements.json. Durations are in seconds.
//
// # What it costs
//
// While no request comes in, it costs nothing: there is no goroutine and no timer. The state is
// read at most every 250 ms, for all viewers together. At most 1000 pools, 500 holders and
// 500 waiters are listed, at most 20 holders and 20 waiters of each pool, and 200 statements. What
// is left out is counted. The charts begin when the page is opened, because only the browser keeps
// their history. A hidden tab requests nothing.
//
// # Cycles
//
// A holder that waits for a connection is marked, and so is a cycle of them: callers that wait for
// each other. A caller is known by its owner ([core.WithOwner]), or by its trace once it has waited for a second. The page derives
// this from one look at the holders and waiters of the pools that it shows. [core.ErrDeadlock] is
// exact.
//
// Files in reading order: page.go, routes.go, access.go, text.go, detail.go, events.go,
// statements.go, snapshot.go, state.go, cycle.go, taken.go, names.go, json.go, shared.go and
// assets.go.
package page
