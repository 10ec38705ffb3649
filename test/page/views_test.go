package page_test

import (
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestViews has two networks in one page: one is shown at a time, and a link keeps which.
func TestViews(t *testing.T) {
	s := shop(t)
	const other = "backup-net"
	if out, err := exec.Command(leasegen, "--out", s.dataDir, "--network", other, "--until", until, "--leases", "9", "--events", "120", "--days", "1",
		"--subnet", "10.9.0.0/28").CombinedOutput(); err != nil {
		t.Fatalf("leasegen: %v\n%s", err, out)
	}
	file := s.report(t)
	p := open(t, file, "#network="+netName+"&at=2026-11-02T12:00:00Z")
	if at := p.place(); at.Network != netName {
		t.Fatalf("the page shows %q", at.Network)
	}
	p.tabTo("#view")
	p.press(other[:1]) // a list is gone through by first letters
	p.wait(fmt.Sprintf(`leaselog.place.network === %s`, quote(other)))
	p.frame()
	var got, want table
	p.eval(`leaselog.at()`, &got)
	parse(t, s.ctl(t, []int{0, 2, 3}, "at", p.place().At, "--network", other, "-o", "json"), &want)
	if len(want.Leases) == 0 || len(difference(got.Leases, want.Leases)) > 0 || len(difference(want.Leases, got.Leases)) > 0 {
		t.Errorf("%s at %s:\npage: %+v\nat:   %+v", other, p.place().At, got.Leases, want.Leases)
	}
	if text := p.text(`document.querySelector("#map").textContent + document.querySelector("#grid").textContent`); !strings.Contains(text, "10.9.0.") {
		t.Errorf("the grid has none of its addresses:\n%s", text)
	}
	p.wait(fmt.Sprintf(`location.hash.includes(%s)`, quote(url.QueryEscape(other))))
	place, hash := p.place(), p.text(`location.hash`)
	if again := open(t, file, hash); again.place() != place {
		t.Errorf("%s opens at %+v; want %+v", hash, again.place(), place)
	}
	p.click("#search input")
	p.enter("10.1.0.")
	p.press(kb.Enter)
	p.frame()
	if at := p.place(); at.Network != other || strings.HasPrefix(at.IP, "10.1.") {
		t.Errorf("a search in %s led to %+v", other, at)
	}
}
