package clients

import (
	"encoding/gob"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
)

func scsProgram(a *app) {
	scsStore(a)
	scsSessions(a)
}

func scsStore(a *app) {
	a.chapter("store")
	store := sqlite3store.NewWithCleanupInterval(a.db, 0)
	_, _, err := store.Find("early")
	a.fails("no table", err)
	a.fails("no table", store.Commit("early", nil, time.Now()))
	_, err = a.db.Exec("CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL); CREATE INDEX sessions_expiry_idx ON sessions(expiry)")
	a.ok(err)

	future := time.Date(2999, 1, 2, 3, 4, 5, 678_000_000, time.Local)
	find := func(token string) {
		data, found, err := store.Find(token)
		a.see("find "+token, data, found, err)
	}
	find("a")
	for _, token := range []string{"a", "b", "it's"} {
		a.see("commit", store.Commit(token, []byte("data of \x00"+token), future))
		find(token)
	}
	a.see("again", store.Commit("a", []byte{}, future))
	find("a")
	a.fails("nothing", store.Commit("a", nil, future))
	a.see("expired", store.Commit("old", []byte("old"), time.Unix(0, 0)))
	find("old")
	all, err := store.All()
	a.see("all", all, err)
	a.see("delete", store.Delete("b"), store.Delete("b"))
	find("b")
	rows, err := a.db.Query("SELECT * FROM sessions ORDER BY token")
	a.rows("table", rows, err)

	other := sqlite3store.NewWithConfig(a.db, sqlite3store.Config{TableName: "others"})
	_, err = other.All()
	a.fails("other table", err)
	// A store that cleans up has a goroutine, which must end.
	cleaning := sqlite3store.New(a.db)
	data, found, err := cleaning.Find("it's")
	a.see("cleaning", data, found, err)
	cleaning.StopCleanup()
}

func scsSessions(a *app) {
	a.chapter("sessions")
	gob.Register(time.Time{})
	sessions := scs.New()
	sessions.Store = sqlite3store.NewWithCleanupInterval(a.db, 0)
	sessions.Lifetime = 1000 * time.Hour
	sessions.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, describe(err), http.StatusInternalServerError)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/put", func(w http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "name", r.FormValue("name"))
		sessions.Put(r.Context(), "visits", sessions.GetInt(r.Context(), "visits")+1)
		sessions.Put(r.Context(), "bytes", []byte{0, 1})
		sessions.Put(r.Context(), "when", time.Unix(5, 6).UTC())
	})
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		keys := sessions.Keys(ctx)
		slices.Sort(keys)
		fmt.Fprintln(w, sessions.GetString(ctx, "name"), sessions.GetInt(ctx, "visits"), sessions.GetBytes(ctx, "bytes"),
			sessions.GetTime(ctx, "when"), keys, sessions.Status(ctx))
	})
	mux.HandleFunc("/renew", func(w http.ResponseWriter, r *http.Request) {
		before := sessions.Token(r.Context())
		err := sessions.RenewToken(r.Context())
		fmt.Fprintln(w, err, before != sessions.Token(r.Context()))
	})
	mux.HandleFunc("/pop", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, sessions.PopString(r.Context(), "name"), sessions.Exists(r.Context(), "name"))
	})
	mux.HandleFunc("/destroy", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, sessions.Destroy(r.Context()), sessions.Status(r.Context()))
	})
	handler := sessions.LoadAndSave(mux)

	// visit makes a browser's request, without a network.
	visit := func(jar http.CookieJar, path string) (string, int) {
		r := httptest.NewRequest("GET", "http://example.org"+path, nil)
		for _, c := range jar.Cookies(r.URL) {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		jar.SetCookies(r.URL, w.Result().Cookies())
		return w.Body.String(), w.Code
	}
	count := func() (n int) {
		a.ok(a.db.QueryRow("SELECT count(*) FROM sessions").Scan(&n))
		return n
	}
	jar := func() http.CookieJar {
		jar, err := cookiejar.New(nil)
		a.ok(err)
		return jar
	}
	before := count()
	ann, ben := jar(), jar()
	for _, step := range []struct {
		who  string
		jar  http.CookieJar
		path string
	}{
		{"ann", ann, "/get"}, {"ann", ann, "/put?name=Ann"}, {"ben", ben, "/put?name=Ben"}, {"ann", ann, "/put?name=Anna"},
		{"ann", ann, "/get"}, {"ben", ben, "/get"}, {"ann", ann, "/renew"}, {"ann", ann, "/get"}, {"ann", ann, "/pop"},
		{"ann", ann, "/get"}, {"ben", ben, "/destroy"}, {"ben", ben, "/get"},
	} {
		body, code := visit(step.jar, step.path)
		a.see(step.who+" "+step.path, body, code, count()-before)
	}

	a.chapter("concurrent")
	a.parallel(6, func(i int) error {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}
		for range 3 {
			if body, code := visit(jar, fmt.Sprint("/put?name=visitor", i)); code != 200 {
				return fmt.Errorf("%d: %s", code, body)
			}
		}
		if body, _ := visit(jar, "/get"); !strings.HasPrefix(body, fmt.Sprintf("visitor%d 3 ", i)) {
			return fmt.Errorf("visitor %d has the session %q", i, body)
		}
		return nil
	})
	a.see("visitors", count()-before)
}
