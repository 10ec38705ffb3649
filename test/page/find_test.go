package page_test

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// history is what tests read of leasectl history.
type history struct {
	Intervals []struct {
		lease
		End *struct {
			Seq    uint64
			Reason string
		}
	}
}

// TestSearch finds leases by address, pod, container and namespace, and shows all of the one that is chosen.
func TestSearch(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	var leases table
	parse(t, s.ctl(t, []int{0, 2}, "at", "2026-11-02T12:00:00Z", "-o", "json"), &leases)
	l := leases.Leases[len(leases.Leases)/2]
	for _, tt := range []struct{ by, query string }{
		{"address", l.IP},
		{"pod", l.Pod.Namespace + "/" + l.Pod.Name},
		{"part of a pod's name", l.Pod.Name[2:]},
		{"container", l.ContainerID},
		{"beginning of a container's ID", l.ContainerID[:10]},
	} {
		p.eval(`leaselog.go({ip: "", query: ""})`, nil)
		p.press(kb.Escape, "/")
		p.choose(tt.query, l.IP)
		p.shows(s, l.IP)
		if t.Failed() {
			t.Fatalf("by %s: %s", tt.by, tt.query)
		}
	}
	p.press("/")
	p.enter(l.Pod.Namespace)
	p.wait(fmt.Sprintf(`document.querySelector("#search").textContent.includes(%s)`, quote(l.Pod.Namespace+"/")))
	p.enter("nothing-has-this-name")
	p.wait(`/no lease|nothing|no match|0 /i.test(document.querySelector("#search").textContent)`)
}

// choose types into the search, which has the focus, and takes the first of what is found, which is of that address.
func (p *tab) choose(query, ip string) {
	p.Helper()
	p.enter(query)
	p.wait(fmt.Sprintf(`document.querySelector("#search [role=option]")?.textContent.includes(%s)`, quote(ip)))
	p.press(kb.Enter)
	p.wait(fmt.Sprintf(`leaselog.place.ip === %s`, quote(ip)))
}

// shows looks that the detail tells all leases of an address, as leasectl history does.
func (p *tab) shows(s *store, address string) {
	p.Helper()
	var want history
	parse(p, s.ctl(p, []int{0, 2}, "history", "--ip", address, "-o", "json"), &want)
	p.frame()
	text := p.text(`document.querySelector("#detail").textContent`)
	for _, l := range want.Intervals {
		words := []string{fmt.Sprint(l.Start.Seq), l.Pod.Name, l.ContainerID[:8]}
		if l.End != nil {
			words = append(words, fmt.Sprint(l.End.Seq), l.End.Reason)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				p.Errorf("the detail of %s lacks %q of its lease of event %d:\n%s", address, w, l.Start.Seq, text)
			}
		}
	}
}

// TestCell clicks on the grid; what is said of the cell is what leasectl who says.
func TestCell(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	seen := map[string]bool{}
	for i := range 12 {
		x, y := p.part("#map canvas", 0.05+float64(i)*0.08, 0.3+0.05*float64(i%8))
		p.do(chromedp.MouseClickXY(x, y))
		at := p.place()
		if at.IP == "" {
			continue
		}
		seen[at.IP] = true
		want := s.who(t, at.IP, instantOf(t, at.At))
		p.frame()
		text := p.text(`document.querySelector("#detail").textContent`)
		if !strings.Contains(text, at.IP) || !strings.Contains(text, want.State) {
			t.Errorf("clicked on %s, which is %s: the detail says\n%s", at.IP, want.State, text)
		}
		if status := p.text(`document.querySelector("#status").textContent`); !strings.Contains(status, at.IP) || !strings.Contains(status, want.State) {
			t.Errorf("over %s, which is %s, the page says %q", at.IP, want.State, status)
		}
	}
	if len(seen) < 6 {
		t.Errorf("twelve clicks chose %d addresses", len(seen))
	}
}

// TestHolders chooses an address with many leases: the one that holds it comes before all others, with its container in full.
func TestHolders(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	var now table
	p.eval(`leaselog.at()`, &now)
	l := now.Leases[len(now.Leases)/2]
	p.eval(fmt.Sprintf(`leaselog.go({ip: %s})`, quote(l.IP)), nil)
	p.frame()
	first := p.text(`document.querySelector("#detail .holders").textContent`)
	for _, want := range []string{l.ContainerID, l.Pod.Name, fmt.Sprintf("event %d", l.Start.Seq)} {
		if want == "" || !strings.Contains(first, want) {
			t.Errorf("%s is held by %q: the detail begins with %q", l.IP, want, first)
		}
	}
}

// TestZoom has a tooltip go by Escape, and zooms in by a double click: what was said of the cell that was there is gone.
func TestZoom(t *testing.T) {
	s := generated(t, "wide", "--leases", "24", "--events", "100", "--days", "1", "--subnet", "10.1.0.0/16")
	p := open(t, s.report(t), "")
	x, y := p.part("#map canvas", 0.6, 0.6)
	p.frame() // scrolling hides it
	p.do(chromedp.MouseEvent(chromedp.MouseMoved, x, y))
	p.wait(`!document.querySelector(".tip").hidden`)
	p.press(kb.Escape)
	p.wait(`document.querySelector(".tip").hidden`)
	p.do(chromedp.MouseClickXY(x, y), chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)))
	p.wait(`document.querySelectorAll(".crumb").length === 2`)
	p.frame()
	if !p.truth(`document.querySelector(".tip").hidden || document.querySelector(".tip").textContent.startsWith(document.querySelector("#status").textContent.split(",")[0])`) {
		t.Errorf("the tooltip says %q", p.text(`document.querySelector(".tip").textContent`))
	}
}

// TestPicture reads cells back from the canvas, at some instants, also such as the journal doesn't tell of: what is drawn for one state,
// as leasectl who says it, is drawn for no other.
func TestPicture(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t, "--since", "2026-10-31T00:00:00Z"), "#at=2026-11-02T12:00:00Z")
	cells := map[string][2]float64{} // where each is in the picture, by shares of width and height
	for i := range 30 {
		right, down := 0.01+0.98*math.Mod(float64(i)*0.618, 1), 0.02+0.96*float64(i)/30
		x, y := p.part("#map canvas", right, down)
		p.do(chromedp.MouseClickXY(x, y))
		if ip := p.place().IP; ip != "" {
			cells[ip] = [2]float64{right, down}
		}
	}
	meaning := map[string]string{} // of a colour that fills a cell
	states := map[string]int{}
	known := map[string]bool{} // colours of states that are known
	for _, at := range []string{"2026-11-02T12:00:00Z", "2026-11-02T03:00:00Z", "2026-11-01T12:00:00Z", "2026-10-31T00:00:00Z"} {
		p.eval(fmt.Sprintf(`leaselog.go({at: %s, ip: ""}); document.activeElement.blur()`, quote(at)), nil)
		p.do(chromedp.MouseEvent(chromedp.MouseMoved, 1, 1))
		p.frame()
		who := s.join(t, slices.Sorted(maps.Keys(cells)), []int64{instantOf(t, at)})[instantOf(t, at)]
		for ip, drawn := range p.drawn(cells) {
			state := who[ip].State + ", " + who[ip].Certainty
			states[state]++
			if who[ip].State == "unknown" {
				if !slices.ContainsFunc(drawn.All, func(c string) bool { return !known[c] }) {
					t.Errorf("at %s the cell of %s, which is unknown, has the colours of what is known: %s", at, ip, drawn.All)
				}
				continue
			}
			for _, c := range drawn.All {
				known[c] = true
			}
			if was, ok := meaning[drawn.Most]; ok && was != state {
				t.Errorf("at %s the cell of %s, %s, is filled with %s, as one that is %s", at, ip, state, drawn.Most, was)
			}
			meaning[drawn.Most] = state
		}
	}
	p.press("u") // at the last of these instants all is unknown
	p.wait(`leaselog.place.ip !== "" && leaselog.who(leaselog.place.ip).state === "unknown"`)
	if band := p.text(`document.querySelector("#certainty").className + ": " + document.querySelector("#certainty").textContent`); !strings.HasPrefix(band, "band bad: Unknown") {
		t.Errorf("above a grid in which all is unknown: %q", band)
	}
	if states["held, certain"] < 10 || states["free, certain"] < 10 || states["unknown, unknown"] < 10 {
		t.Errorf("looked at too few cells: %v", states)
	}
}

// drawn is what colours a cell has in the picture.
type drawn struct {
	Most string // that of most pixels around its place
	All  []string
}

func (p *tab) drawn(places map[string][2]float64) map[string]drawn {
	p.Helper()
	var got map[string]drawn
	p.eval(fmt.Sprintf(`(() => {
		const from = document.querySelector("#map canvas"), copy = new OffscreenCanvas(from.width, from.height).getContext("2d", {willReadFrequently: true});
		copy.drawImage(from, 0, 0);
		const around = (right, down, n) => {
			const { data } = copy.getImageData(Math.round(from.width * right) - n, Math.round(from.height * down) - n, 2 * n + 1, 2 * n + 1), seen = {};
			for (let i = 0; i < data.length; i += 4) {
				const colour = data.slice(i, i + 4).join();
				seen[colour] = (seen[colour] ?? 0) + 1;
			}
			return Object.entries(seen).sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
		};
		return Object.fromEntries(Object.entries(%s).map(([name, [right, down]]) => [name, {Most: around(right, down, 2)[0], All: around(right, down, 5)}]));
	})()`, quote(places)), &got)
	return got
}

// TestLink opens a page by a link that it has made, and goes back.
func TestLink(t *testing.T) {
	s := shop(t)
	file := s.report(t)
	p := open(t, file, "")
	p.jump("2026-11-02T12:00:00.000000001Z")
	held := p.text(`leaselog.at().leases[3].ip`)
	other := p.text(`leaselog.at().leases[7].ip`)
	for _, ip := range []string{held, other} {
		p.click("#search input")
		p.choose(ip, ip)
	}
	p.wait(fmt.Sprintf(`location.hash.includes(%s)`, quote(url.QueryEscape(other))))
	net := netip.PrefixFrom(netip.MustParseAddr(other), 27).Masked().String()
	p.eval(`leaselog.go({net: `+quote(net)+`})`, nil) // as zooming in does
	p.wait(fmt.Sprintf(`location.hash.includes(%s)`, quote("net="+net)))
	want, hash := p.place(), p.text(`location.hash`)

	again := open(t, file, hash)
	if got := again.place(); got != want {
		t.Errorf("%s opens at %+v; the page that wrote it was at %+v", hash, got, want)
	}
	again.shows(s, other)
	if cells := again.number(`document.querySelector("#grid").ariaRowCount * document.querySelector("#grid").ariaColCount`); cells != 32 {
		t.Errorf("%s draws %g cells", hash, cells)
	}

	p.do(chromedp.NavigateBack())
	p.wait(`leaselog.place.net === ""`)
	p.do(chromedp.NavigateBack())
	p.wait(fmt.Sprintf(`leaselog.place.ip === %s`, quote(held)))
	p.shows(s, held)
	if before := p.instant(); p.try(`leaselog.go({at: "2026-10-01T00:00:00Z"})`, nil) == nil || p.instant() != before {
		t.Error("the console leads to an instant that the page does not have")
	}
	p.do(chromedp.NavigateForward())
	p.wait(fmt.Sprintf(`leaselog.place.ip === %s`, quote(other)))

	p.eval(fmt.Sprintf(`location.hash = "#at=2026-11-02T10:00:00Z&ip=%s"`, held), nil)
	p.at("2026-11-02T10:00:00.000000000Z")
}

// TestLinkOfLease copies the link of one lease among several of an address: it opens at that lease, which is marked and in sight.
func TestLinkOfLease(t *testing.T) {
	s := shop(t)
	file := s.report(t)
	of := map[string][]uint64{}
	var all history
	parse(t, s.ctl(t, []int{0, 2}, "history", "--cidr", "10.1.0.0/24", "-o", "json"), &all)
	for _, l := range all.Intervals {
		of[l.IP] = append(of[l.IP], l.Start.Seq)
	}
	ip := slices.MaxFunc(slices.Sorted(maps.Keys(of)), func(a, b string) int { return len(of[a]) - len(of[b]) })
	p := open(t, file, "#ip="+ip)
	p.wait(`document.querySelector("#detail .permalink")`)
	for i, seq := range []uint64{slices.Min(of[ip]), slices.Max(of[ip])} {
		item := []string{":first-child", ":last-child"}[i]
		hash := p.text(`document.querySelector("#detail .intervals > li` + item + ` .permalink").getAttribute("href")`)
		again := open(t, file, hash)
		again.wait(`document.querySelector("#detail .marked")`)
		again.frame()
		const marked = `document.querySelector("#detail .marked")`
		if n := again.number(`document.querySelectorAll("#detail .marked").length`); n != 1 || !again.truth(marked+`.matches("`+item+`")`) {
			t.Errorf("%s marks %g leases: %s", hash, n, again.text(marked+`.textContent`))
		}
		if text := again.text(marked + `.innerText`); !strings.Contains(text, "chosen lease") || !strings.Contains(text, fmt.Sprintf(" event %d\n", seq)) {
			t.Errorf("%s marks\n%s\nwant the lease of event %d", hash, text, seq)
		}
		if !again.truth(`(({top, bottom}) => top >= 0 && bottom <= innerHeight)(` + marked + `.getBoundingClientRect()) && document.activeElement === ` + marked) {
			t.Errorf("the lease that %s marks is out of sight, or %s has the focus", hash, again.focused())
		}
		if at := again.place(); at.IP != ip || at.Lease != fmt.Sprint(seq) || !again.truth(`leaselog.who(leaselog.place.ip).holders.some(h => h.start.seq === `+fmt.Sprint(seq)+`)`) {
			t.Errorf("%s opens at %+v, where its lease does not hold %s", hash, at, ip)
		}
	}
}

// TestWrongLink opens links that mean nothing here: each says so, and the page works.
func TestWrongLink(t *testing.T) {
	file := shop(t).report(t)
	for _, hash := range []string{"#at=nonsense", "#at=2026-11-02T12:00:00Z&ip=no-address", "#network=other", `#at=<img src=x onerror="pwned=1">&ip="><script>pwned=1</script>`, "#%E0%A4%A", "#by=colour", "#ip=10.1.0.5&lease=<svg onload=pwned=1>", "#lease=1e3"} {
		t.Run(hash, func(t *testing.T) {
			p := blank(t, file)
			p.expected = "\x00" // the page says something
			p.visit(hash)
			p.wait(`window.leaselog !== undefined`)
			p.frame()
			if said := p.text(`document.querySelector("#problem").innerText.trim()`); said == "" {
				t.Errorf("nothing is said")
			}
			if p.truth(`window.pwned`) {
				t.Error("the link ran a script")
			}
			p.click("#first")
			p.at(p.place().At)
		})
	}
}
