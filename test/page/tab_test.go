package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a tab is waited for; only a failure takes so long.
const patience = 30 * time.Second

// tab is a page in a tab of its own, with a browser's storage of its own.
type tab struct {
	testing.TB
	ctx  context.Context
	file string

	mu       sync.Mutex
	url      string // of the page
	found    []string
	expected string // words that what is found may have
}

// watch runs before any script of a page and tells what it is refused.
const watch = `addEventListener("securitypolicyviolation", e =>
	leaselogRefused(e.effectiveDirective + " " + e.blockedURI + " " + e.sample + " " + e.sourceFile + ":" + e.lineNumber))`

// open opens a page, waits until it is drawn, and looks at the end of the test that nothing was wrong with it meanwhile.
func open(t testing.TB, file, hash string) *tab {
	t.Helper()
	p := blank(t, file)
	p.visit(hash)
	p.ready()
	return p
}

// blank makes a tab for a page, and records what happens in it.
func blank(t testing.TB, file string) *tab {
	t.Helper()
	needChromium(t)
	ctx, done := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	p := &tab{TB: t, ctx: ctx, file: file}
	t.Cleanup(func() {
		p.quiet()
		done()
	})
	// A deadline of the first action would be the tab's own.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.heard); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	call(p, audits.Enable, cdp.Empty{})
	call(p, runtime.AddBinding, runtime.AddBindingParams{Name: "leaselogRefused"})
	call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
	return p
}

// call sends a command of the protocol.
func call[P, R any](p *tab, cmd cdp.Command[P, R], params P) R {
	p.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	got, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		p.Fatalf("%s: %s: %v", filepath.Base(p.file), cmd.Method, err)
	}
	return got
}

// do runs actions of chromedp.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatalf("%s: %v", filepath.Base(p.file), err)
	}
}

// heard takes down what a page must not do.
func (p *tab) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, a := range ev.Args {
			words = append(words, string(a.Value), a.Description)
		}
		p.find("console." + string(ev.Type) + ": " + strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		p.find("exception: " + (&chromedp.ExceptionError{ExceptionDetails: ev.ExceptionDetails}).Error())
	case *runtime.EventBindingCalled:
		p.find("refused by the policy: " + ev.Payload)
	case *log.EventEntryAdded:
		p.find(fmt.Sprintf("log: %s: %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL))
	case *audits.EventIssueAdded:
		details, err := json.Marshal(ev.Issue.Details)
		p.find(fmt.Sprintf("issue: %s: %s %v", ev.Issue.Code, details, err))
	case *network.EventRequestWillBeSent:
		if ev.Request.URL != p.url && !strings.HasPrefix(ev.Request.URL, "data:") {
			p.find("request: " + ev.Request.URL)
		}
	case *cdppage.EventJavascriptDialogOpening:
		p.find("dialog: " + ev.Message)
		// The page stands still until it is closed, and no command may be sent from here.
		go chromedp.Call(p.ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{})
	}
}

func (p *tab) find(what string) {
	if p.expected == "" || !strings.Contains(what, p.expected) {
		p.found = append(p.found, what)
	}
}

// quiet fails the test if anything was found.
func (p *tab) quiet() {
	p.Helper()
	if p.ctx.Err() == nil && !p.Failed() {
		p.eval(`0`, nil) // what was on its way before has come now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, what := range p.found {
		p.Errorf("%s: %s", filepath.Base(p.file), what)
	}
	p.found = nil
}

// visit goes to the page; hash is what stands behind its name, with the #.
func (p *tab) visit(hash string) {
	p.Helper()
	u := url.URL{Scheme: "file", Path: p.file}
	p.mu.Lock()
	p.url = u.String()
	p.mu.Unlock()
	if got := call(p, cdppage.Navigate, cdppage.NavigateParams{URL: u.String() + hash}); got.ErrorText != "" {
		p.Fatalf("open %s: %s", u.String(), got.ErrorText)
	}
}

// ready waits until the page has drawn its first picture.
func (p *tab) ready() {
	p.Helper()
	p.wait(`window.leaselog !== undefined || document.querySelector("[role=alert]")?.textContent`)
	if alert := p.text(`document.querySelector("[role=alert]:not(:empty)")?.textContent ?? ""`); alert != "" && p.expected == "" {
		p.Fatalf("%s: the page says: %s", filepath.Base(p.file), alert)
	}
}

// eval evaluates an expression and waits for its promise; out may be nil.
func (p *tab) eval(expression string, out any) {
	p.Helper()
	if err := p.try(expression, out); err != nil {
		p.Fatalf("%s: %v\n%s", filepath.Base(p.file), err, expression)
	}
}

func (p *tab) try(expression string, out any) error {
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	got, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: expression,
		ReturnByValue: new(true), AwaitPromise: new(true), UserGesture: new(true)})
	switch {
	case err != nil:
		return err
	case got.ExceptionDetails != nil:
		return &chromedp.ExceptionError{ExceptionDetails: got.ExceptionDetails}
	case out == nil:
		return nil
	case got.Result.Value == nil:
		return fmt.Errorf("the expression's value is %s", got.Result.Type)
	}
	return json.Unmarshal(got.Result.Value, out)
}

// wait waits until an expression is true. chromedp's own waiting makes functions from text, which the page's policy forbids.
func (p *tab) wait(condition string) {
	p.Helper()
	var came bool
	p.eval(fmt.Sprintf(`new Promise(done => {
		const end = performance.now() + %d;
		const look = () => {
			if (%s) done(true);
			else if (performance.now() > end) done(false);
			else setTimeout(look, 8);
		};
		look();
	})`, (patience-5*time.Second).Milliseconds(), condition), &came)
	if !came {
		p.Fatalf("%s: waited in vain for: %s", filepath.Base(p.file), condition)
	}
}

// text returns the value of an expression that is text.
func (p *tab) text(expression string) string {
	p.Helper()
	var s string
	p.eval(expression, &s)
	return s
}

func (p *tab) number(expression string) float64 {
	p.Helper()
	var n float64
	p.eval(expression, &n)
	return n
}

func (p *tab) truth(expression string) bool {
	p.Helper()
	var b bool
	p.eval("!!("+expression+")", &b)
	return b
}

// quote makes a literal of JavaScript.
func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("page: " + err.Error()) // nothing here is given what JSON can't hold
	}
	return string(b)
}

// write writes a page of the test's own.
func write(t testing.TB, html string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
