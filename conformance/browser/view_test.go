package browser_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A scene is a pool whose writer is held while three callers wait.
type scene struct {
	pool *pool.Pool
	end  func() // lets the waiters have their turns
}

func play(t *testing.T) scene {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "shop.db"), Name: "shop.db", MaxConns: 5, TrackStacks: true, AcquireTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	for _, text := range []string{"CREATE TABLE orders(id, total)", "INSERT INTO orders VALUES (1, 100), (2, 50), (3, 75)"} {
		if _, err := p.DB().Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		if _, err := p.DB().Exec("UPDATE orders SET total = total + 1"); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := p.DB().QueryRow("SELECT total FROM orders WHERE id = 1").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	tracer := trace.NewTracerProvider().Tracer("shop")
	background, cancel := context.WithCancel(context.Background()) // ends later than t.Context
	t.Cleanup(cancel)
	ctx, span := tracer.Start(pool.WithOwner(background, "nightly import"), "import")
	t.Cleanup(func() { span.End() })
	tx, err := p.DB().BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (4, 20)"); err != nil {
		t.Fatal(err)
	}
	rows, err := p.DB().QueryContext(pool.WithOwner(background, "report"), "SELECT total FROM orders ORDER BY id")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	done := make(chan error, 3)
	for i := range cap(done) {
		go func() {
			ctx, span := tracer.Start(pool.WithOwner(background, fmt.Sprint("checkout ", i+1)), "checkout")
			defer span.End()
			_, err := p.DB().ExecContext(ctx, "UPDATE orders SET total = 0 WHERE id = 9")
			done <- err
		}()
	}
	for len(p.Waiters()) < cap(done) {
		time.Sleep(time.Millisecond)
	}
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return scene{p, end}
}

// rows are JavaScript for the rows of a table.
func rows(id string) string {
	return fmt.Sprintf("[...document.querySelectorAll('#%s tbody tr:not(:has(.empty))')]", id)
}

// TestQueue checks that holders and waiters appear within two refreshes, and go away.
func TestQueue(t *testing.T) {
	b := openTab(t)
	p, err := pool.Open(t.Context(), pool.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := play(t)
	server := serve(b, p, s.pool)
	b.open(server.URL + "/debug/sql/")
	b.await(rows("holders") + ".length === 2 && " + rows("waiters") + ".length === 3")
	if n := len(server.of("state.json")); n > 2 {
		t.Errorf("it took %d refreshes", n)
	}
	text := eval[string](b, "document.body.innerText")
	for _, want := range []string{"nightly import", "INSERT orders", "transaction", "checkout 3", "shop.db", "open rows"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q:\n%s", want, text)
		}
	}
	if href := eval[string](b, "document.querySelector('#holders a').href"); !strings.HasPrefix(href, "https://jaeger.example/trace/") || strings.Contains(href, "{") {
		t.Errorf("the trace links to %s", href)
	}
	before := len(server.of("state.json"))
	s.end()
	b.await(rows("holders") + ".length === 0 && " + rows("waiters") + ".length === 0")
	if n := len(server.of("state.json")) - before; n > 3 { // one may have been on the way
		t.Errorf("it took %d refreshes", n)
	}
	b.await("document.getElementById('holders').innerText.includes('No connection is in use')")
}

// TestSort clicks on titles of the statements.
func TestSort(t *testing.T) {
	b := openTab(t)
	b.open(serve(b, play(t).pool).URL + "/debug/sql/")
	b.await(rows("statements") + ".length === 3")
	order := func() string {
		return eval[string](b, rows("statements")+".map(tr => tr.cells[0].innerText).join()")
	}
	click := func(title string) {
		eval[bool](b, fmt.Sprintf("[...document.querySelectorAll('#statements thead button')].find(b => b.innerText === %q).click() || true", title))
	}
	sorted := func(title string) string {
		return eval[string](b, fmt.Sprintf("[...document.querySelectorAll('#statements thead th')].find(b => b.innerText === %q).getAttribute('aria-sort') || ''", title))
	}
	if got := order(); got != "SELECT products,INSERT orders,UPDATE products" || sorted("total") != "descending" {
		t.Errorf("at first: %s", got)
	}
	click("max")
	if got := order(); got != "INSERT orders,SELECT products,UPDATE products" || sorted("max") != "descending" || sorted("total") != "" {
		t.Errorf("by max: %s", got)
	}
	click("max")
	if got := order(); got != "UPDATE products,SELECT products,INSERT orders" || sorted("max") != "ascending" {
		t.Errorf("by max, ascending: %s", got)
	}
	click("statement")
	if got := order(); got != "INSERT orders,SELECT products,UPDATE products" {
		t.Errorf("by name: %s", got)
	}
	eval[bool](b, rows("statements")+"[0].querySelector('button').click() || true")
	b.await("document.getElementById('statement').innerText.includes('error 2067: 12') && document.getElementById('statement').innerText.includes('no plan has been taken')")
}

// TestPause checks the pause button, the interval and a hidden tab. Chromium without a screen does
// not hide tabs, so the test says that it is hidden.
func TestPause(t *testing.T) {
	b := openTab(t)
	server := serve(b, play(t).pool)
	b.open(server.URL + "/debug/sql/")
	count := func() int { return len(server.of("state.json")) }
	changes := func(within time.Duration) bool {
		for before, began := count(), time.Now(); time.Since(began) < within; time.Sleep(20 * time.Millisecond) {
			if count() > before {
				return true
			}
		}
		return false
	}
	b.await(rows("waiters") + ".length === 3")
	b.run(chromedp.SetValue(chromedp.CSS("#interval"), "1"))
	eval[bool](b, "document.getElementById('interval').dispatchEvent(new Event('change'))")
	for range 2 {
		if !changes(5 * time.Second) {
			t.Error("the page does not refresh")
		}
	}
	b.run(chromedp.Click(chromedp.CSS("#pause")))
	b.await("document.getElementById('status').innerText === 'paused'")
	time.Sleep(500 * time.Millisecond) // a refresh may be under way
	if changes(2500 * time.Millisecond) {
		t.Error("the page refreshes although it is paused")
	}
	b.run(chromedp.Click(chromedp.CSS("#pause")))
	if !changes(5 * time.Second) {
		t.Error("the page does not go on")
	}
	hide := func(hidden bool) {
		eval[bool](b, fmt.Sprintf("Object.defineProperty(document, 'hidden', {value: %v, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))", hidden))
	}
	hide(true)
	time.Sleep(500 * time.Millisecond)
	if changes(2500 * time.Millisecond) {
		t.Error("the page refreshes although it is hidden")
	}
	hide(false)
	if !changes(5 * time.Second) {
		t.Error("the page does not go on when it is visible")
	}
}

// TestDark checks the colours of the dark scheme, and the layout of a narrow window.
func TestDark(t *testing.T) {
	b := openTab(t)
	b.open(serve(b, play(t).pool).URL + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3")
	const brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, n) => a + Number(n), 0)"
	light := eval[int](b, brightness)
	b.prefer("dark")
	if dark := eval[int](b, brightness); light < 600 || dark > 150 {
		t.Errorf("the background is %d in light and %d in dark", light, dark)
	}
	b.run(chromedp.EmulateViewport(320, 640))
	if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > 320 {
		t.Errorf("the page is %d pixels wide in a window of 320", wide)
	}
}

// TestKeyboard reaches the controls with the tabulator, and keeps the focus over refreshes.
func TestKeyboard(t *testing.T) {
	b := openTab(t)
	b.open(serve(b, play(t).pool).URL + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3")
	var reached []string
	for range 12 {
		b.run(chromedp.KeyEvent("\t"))
		reached = append(reached, eval[string](b, "document.activeElement.id || document.activeElement.innerText || document.activeElement.className"))
	}
	all := strings.Join(reached, ",")
	for _, want := range []string{"pause", "interval", "shop.db"} {
		if !strings.Contains(all, want) {
			t.Errorf("the tabulator does not reach %s: %s", want, all)
		}
	}
	eval[bool](b, "(document.querySelector('#pools tbody button').focus(), true)")
	at := eval[string](b, "document.getElementById('at').innerText")
	b.await(fmt.Sprintf("document.getElementById('at').innerText !== %q", at))
	if !eval[bool](b, "document.activeElement === document.querySelector('#pools tbody button')") {
		t.Error("a refresh has moved the focus")
	}
}

// hostile is a name with markup, line breaks and characters that change the direction of text.
const hostile = "</td><script>document.title='owned'</script><img src=x onerror=document.title='owned'>\n\u202eevil\u2066"

// TestHostileNames checks that names are shown as text.
func TestHostileNames(t *testing.T) {
	b := openTab(t)
	p, err := pool.Open(t.Context(), pool.Config{Path: ":memory:", Name: hostile, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := p.AcquireWrite(pool.WithOwner(t.Context(), hostile))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.open(serve(b, p).URL + "/debug/sql/")
	b.await(rows("holders") + ".length === 1")
	const want = `</td><script>document.title='owned'</script><img src=x onerror=document.title='owned'>\n\u202eevil\u2066`
	for _, place := range []string{"#pools tbody th", "#h-one"} {
		if got := eval[string](b, fmt.Sprintf("document.querySelector(%q).innerText", place)); got != want {
			t.Errorf("%s shows %s", place, got)
		}
	}
	if !eval[bool](b, fmt.Sprintf("document.getElementById('holders').innerText.includes(%q)", want)) {
		t.Error("the owner is not shown as it is")
	}
	if n := eval[int](b, "document.querySelectorAll('img, script:not([src=\"?file=page.js\"])').length"); n > 0 {
		t.Errorf("%d elements were made from a name", n)
	}
	if title := eval[string](b, "document.title"); strings.Contains(title, "owned") {
		t.Error("a script of a name has run")
	}
}
