package page_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/leaselog/leaselog/journal"
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
	p.elsewhere(s, netName)
}

// elsewhere looks for an address of another network than the one that is shown: by search, by link, and from the console.
func (p *tab) elsewhere(s *store, network string) {
	p.Helper()
	before := p.place()
	var leases table
	parse(p, s.ctl(p, []int{0, 2}, "at", before.At, "--network", network, "-o", "json"), &leases)
	l := leases.Leases[len(leases.Leases)/2]
	if who := p.text(`JSON.stringify(leaselog.who(` + quote(l.IP) + `))`); !strings.Contains(who, quote(network)) || !strings.Contains(who, l.Pod.Name) {
		p.Errorf("who %s from %s: %s; %s holds it in %s", l.IP, before.Network, who, l.Pod.Name, network)
	}
	p.click("#search input")
	p.enter(l.Pod.Namespace + "/" + l.Pod.Name)
	p.wait(fmt.Sprintf(`document.querySelector("#search [role=option]")?.textContent.includes(%s)`, quote(network+" on ")))
	p.press(kb.Enter)
	p.wait(fmt.Sprintf(`leaselog.place.network === %s`, quote(network)))
	if at := p.place(); at.IP != l.IP || at.At != before.At {
		p.Errorf("the lease of %s at %s led to %+v", l.IP, before.At, at)
	}
	p.wait(fmt.Sprintf(`document.querySelector("#grid-h").textContent.includes(%s)`, quote(network+" on ")))
	link := "#at=" + before.At + "&ip=" + l.IP
	if at := open(p, p.file, link).place(); at.Network != network || at.IP != l.IP {
		p.Errorf("%s opens at %+v", link, at)
	}
}

// TestTwins has two stores of the same network and node in one page, as two data folders of a node are: what is shown of one is not
// taken for the other's.
func TestTwins(t *testing.T) {
	args := []string{"report", "-o", filepath.Join(t.TempDir(), "report.html")}
	for i, holder := range []string{"first", "second"} {
		needChromium(t)
		s := &store{name: holder, dataDir: t.TempDir()}
		clock := journal.Clock{Wall: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC).UnixNano(), Boot: journal.BootID{1}, Synchronised: true}
		ip := netip.MustParsePrefix("10.1.0.5/24")
		s.write(t, []journal.Event{
			{Seq: 1, Clock: clock, Kind: journal.KindGenesis, Origin: journal.Origin{Journal: journal.ID{byte(0x21 + i)}, Network: netName, Node: "node"}},
			{Seq: 2, Clock: clock, Kind: journal.KindConfig, Ranges: [][]journal.Range{{{Subnet: ip.Masked(), Start: ip.Addr(), End: ip.Addr().Next()}}}},
			{Seq: 3, Clock: clock, Kind: journal.KindAdd, ContainerID: holder, IfName: "eth0", Config: 2, Addresses: []journal.Address{{IP: ip.Addr(), Bits: 24}}},
		})
		args = append(args, "--data-dir", s.dataDir)
	}
	ctl(t, []int{0, 2, 3}, args...)
	const held = `leaselog.who("10.1.0.5").holders[0].container_id`
	p := open(t, args[2], "")
	seen := map[string]bool{}
	for i := range 2 {
		p.eval(fmt.Sprintf(`(() => { const s = document.querySelector("#view"); s.selectedIndex = %d; s.dispatchEvent(new Event("change")); leaselog.go({ip: "10.1.0.5"}); })()`, i), nil)
		p.wait(`location.hash.includes("store=")`)
		p.wait(`location.hash.includes(leaselog.place.store)`)
		p.wait(`document.querySelector("#detail .elsewhere")`)
		want, hash := p.text(held), p.text(`location.hash`)
		seen[want], seen[p.text(`document.querySelector("#view").selectedOptions[0].textContent`)] = true, true
		if again := open(t, p.file, hash); again.text(held) != want || again.place() != p.place() {
			t.Errorf("%s opens where %s has the address; want %s", hash, again.text(held), want)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the two stores have these holders and names: %v", seen)
	}
	if title := p.text(`document.title + document.querySelector("h1").textContent`); strings.Count(title, args[4]) != 2 || strings.Count(title, args[6]) != 2 {
		t.Errorf("the title and the heading don't tell the stores apart: %s", title)
	}
	first, also := p.place(), p.text(`document.querySelector("#detail .elsewhere").textContent`)
	if said := p.text(`document.querySelector("#live").textContent`); !strings.Contains(also, args[4]) || strings.Contains(also, args[6]) || !strings.Contains(said, also) {
		t.Errorf("beside the address in %s it is said to be in %q as well, to a screen reader: %q", args[6], also, said)
	}
	p.click("#detail .elsewhere button")
	p.wait(`leaselog.place.store !== ` + quote(first.Store))
	if at := p.place(); at.IP != first.IP || at.At != first.At || !p.truth(`document.activeElement.closest("#detail")`) {
		t.Errorf("the way to the other store led to %+v, with the focus on %s", at, p.focused())
	}
	p.eval(`(() => { const s = document.querySelector("#view"); s.selectedIndex = 1; s.dispatchEvent(new Event("change")); })()`, nil)
	store := p.place().Store
	p.eval(`(() => { const s = document.querySelector("#view"); s.selectedIndex = 0; s.dispatchEvent(new Event("change")); })()`, nil)
	p.eval(`leaselog.go({store: `+quote(store)+`})`, nil)
	if at := p.place(); at.Store != store {
		t.Errorf("go to store %s led to %+v", store, at)
	}
}
