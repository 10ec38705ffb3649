package page_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"

	"github.com/leaselog/leaselog/test/skipping"
)

// finding is what axe-core found to be hard to use for somebody.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// TestAxe has axe-core look at the page, light and dark, with all that can be opened open.
func TestAxe(t *testing.T) {
	needChromium(t)
	path := filepath.Join("..", "..", "report", "web", "node_modules", "axe-core", "axe.min.js")
	axe, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		skipping.For(t, "axe-core is not there: make web installs it")
	} else if err != nil {
		t.Fatal(err)
	}
	s := shop(t)
	held := s.at(t, instantOf(t, "2026-11-02T12:00:00Z")).Leases[0]
	file := s.report(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			p := blank(t, file)
			// axe-core tries things that the policy forbids, which is no fault of the page.
			call(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
			p.media("", "prefers-color-scheme", scheme)
			p.visit(fmt.Sprintf("#at=2026-11-02T12:00:00Z&ip=%s&lease=%d", held.IP, held.Start.Seq))
			p.ready()
			p.eval(`document.querySelectorAll("details").forEach(d => d.open = true)`, nil)
			p.frame()
			p.eval(string(axe)+"\n;0", nil)
			var found []finding
			p.eval(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Help: v.help,
				Nodes: v.nodes.slice(0, 5).map(n => ({HTML: n.html.slice(0, 200), FailureSummary: n.failureSummary}))})))`, &found)
			for _, f := range found {
				var words strings.Builder
				for _, n := range f.Nodes {
					words.WriteString("\n  " + n.HTML + "\n    " + strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
				}
				t.Errorf("%s (%s): %s%s", f.ID, f.Impact, f.Help, words.String())
			}
		})
	}
}
