package browser_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// other is a host that Chromium resolves to this machine, as an attacker's name server might.
const other = "other.example"

// browser is the Chromium of all tests. It is started by the first one that needs it.
var browser struct {
	sync.Once
	ctx context.Context
	err error
	end []func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range browser.end {
		end()
	}
	os.Exit(code)
}

func startBrowser() {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		browser.err = fmt.Errorf("there is no chromium: apt-get install chromium")
		return
	}
	dir, err := os.MkdirTemp("", "sqlitemw-browser-")
	if err != nil {
		browser.err = err
		return
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(time.Minute)}
	for flag, value := range map[string]any{
		"headless": true, "no-sandbox": true, "disable-gpu": true, "disable-background-networking": true, "disable-quic": true,
		"no-first-run": true, "disable-component-update": true, "disable-sync": true, "disable-dev-shm-usage": true, "hide-scrollbars": true,
		"host-resolver-rules": "MAP " + other + " 127.0.0.1",
	} {
		options = append(options, chromedp.Flag(flag, value))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx)
	browser.end = []func(){end, stop, func() { os.RemoveAll(dir) }}
	browser.ctx, browser.err = ctx, chromedp.Do(ctx)
}

// A tab is a new tab of the browser, and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex // guards faults
	faults []string   // errors of the console, exceptions and violations of the policy
}

// openTab opens a tab, which is closed when the test ends. Unless the test takes the faults, they
// fail it.
func openTab(t *testing.T) *tab {
	t.Helper()
	browser.Do(startBrowser)
	if browser.err != nil {
		if os.Getenv("SQLITEMW_BROWSER") == "1" {
			t.Fatal(browser.err)
		}
		t.Skip(browser.err)
	}
	ctx, end := chromedp.NewContext(browser.ctx)
	if err := chromedp.Do(ctx); err != nil { // opens the tab
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		for _, fault := range b.takeFaults() {
			t.Error(fault)
		}
		cancel()
		end()
	})
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.fault("exception: " + fmt.Sprintf("%+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				var texts []string
				for _, arg := range e.Args {
					texts = append(texts, string(arg.Value))
				}
				b.fault("console: " + strings.Join(texts, " "))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				b.fault("log: " + e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "document.addEventListener('securitypolicyviolation', e => console.error('policy', e.effectiveDirective, e.blockedURI))",
	})
	b.run(chromedp.EmulateViewport(1280, 1000))
	return b
}

func (b *tab) fault(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

func (b *tab) takeFaults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := b.faults
	b.faults = nil
	return faults
}

// call sends a command of the protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// prefer sets the colours that the user prefers: light or dark.
func (b *tab) prefer(scheme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(url string) {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
}

// eval returns the value of a JavaScript expression, and waits for it if it is a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// await waits until a JavaScript expression is true, for at most the time of two refreshes and
// what a slow machine needs.
func (b *tab) await(expression string) {
	b.t.Helper()
	for began := time.Now(); !eval[bool](b, expression); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			b.t.Fatalf("%s is false after 10 s; the page is\n%s\nfaults: %q", expression, eval[string](b, "document.body.innerText"), b.takeFaults())
		}
	}
}
