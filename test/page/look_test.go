package page_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/leaselog/leaselog/test/skipping"
)

// TestLoad opens a page: it tells a screen reader what it is, by landmarks, names and values.
func TestLoad(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	tree := p.tree()
	has := func(role string, name ...string) {
		t.Helper()
		if !slices.ContainsFunc(tree, func(c control) bool {
			return c.Role == role && !slices.ContainsFunc(name, func(n string) bool { return !strings.Contains(strings.ToLower(c.Name+" "+c.Value), strings.ToLower(n)) })
		}) {
			t.Errorf("a screen reader finds no %s %q", role, name)
		}
	}
	has("banner")
	has("main")
	has("contentinfo")
	has("heading", netName)
	has("slider", "instant")
	has("grid")
	has("gridcell", "10.1.0.")
	has("button", "play")
	has("button", "next event")
	has("button", "previous event")
	has("combobox", "search")
	has("textbox", "jump")
	for _, c := range tree {
		if slices.Contains([]string{"button", "slider", "textbox", "searchbox", "combobox", "checkbox", "radio", "link", "grid", "image"}, c.Role) && c.Name == "" {
			t.Errorf("a %s has no name: %+v", c.Role, c)
		}
	}
	about := p.text(`document.querySelector("#about").textContent`)
	for _, want := range []string{s.events(t)[0].Effective[:10], "900", "node-"} {
		if !strings.Contains(about, want) {
			t.Errorf("the page lacks %q about itself:\n%s", want, about)
		}
	}
	p.agrees(s)
}

// TestGridCells reads the grid as a screen reader does, row by row: each cell says what leasectl who says.
func TestGridCells(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	p.eval(`document.querySelector("#grid").focus()`, nil)
	want := map[string]bool{}
	for range 3 {
		var cells []string
		p.eval(`[...document.querySelectorAll("#grid [role=gridcell]")].map(e => e.textContent)`, &cells)
		for _, cell := range cells {
			ip := strings.TrimRight(strings.Fields(cell)[0], ",:")
			if w := s.who(t, ip, instantOf(t, p.place().At)); !strings.Contains(cell, w.State) {
				t.Errorf("a cell says %q; leasectl who: %s", cell, w.State)
			}
			want[ip] = true
		}
		p.press(kb.ArrowDown, kb.ArrowDown)
	}
	if len(want) < 24 {
		t.Errorf("three rows have %d cells", len(want))
	}
	active := func() string {
		return p.text(`document.getElementById(document.querySelector("#grid").getAttribute("aria-activedescendant"))?.textContent ?? ""`)
	}
	before := active()
	p.press(kb.ArrowRight)
	p.frame()
	if after := active(); before == "" || after == before {
		t.Errorf("the cursor went from %q to %q", before, after)
	}
	p.press(kb.Enter)
	p.frame()
	if at := p.place(); at.IP == "" || !strings.Contains(active(), at.IP) {
		t.Errorf("Enter on %q chose %q", active(), at.IP)
	}
}

// TestTable opens the table of leases: it has each one that leasectl at has.
func TestTable(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	p.click("#table summary")
	want := s.at(t, instantOf(t, p.place().At))
	p.wait(fmt.Sprintf(`document.querySelectorAll("#table tbody tr").length >= %d`, min(len(want.Leases), 50)))
	text := p.text(`document.querySelector("#table").textContent`)
	for _, l := range want.Leases {
		if !strings.Contains(text, l.IP) || !strings.Contains(text, l.Pod.Name) {
			t.Errorf("the table lacks %s of %s/%s", l.IP, l.Pod.Namespace, l.Pod.Name)
		}
	}
}

// TestKeyboard answers who held an address at a time by keys alone, from an open page on.
func TestKeyboard(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	at := "2026-11-02T15:30:00.000000000Z"
	l := s.at(t, instantOf(t, at)).Leases[4]
	p.tabTo("#jump")
	p.enter("2026-11-02 15:30")
	p.press(kb.Enter)
	p.at(at)
	p.tabTo("#search input")
	p.choose(l.IP, l.IP)
	p.wait(fmt.Sprintf(`document.querySelector("#detail").textContent.includes(%s)`, quote(l.Pod.Name)))
	p.wait(fmt.Sprintf(`document.querySelector("#live").textContent.includes(%s)`, quote(l.IP)))
	if said := p.text(`document.querySelector("#live").textContent`); !strings.Contains(said, "held") || !strings.Contains(said, l.Pod.Name) {
		t.Errorf("a screen reader is told %q; %s was held by %s/%s", said, l.IP, l.Pod.Namespace, l.Pod.Name)
	}
	if got := p.place(); got.At != at || got.IP != l.IP {
		t.Errorf("the page is at %+v; want %s at %s", got, l.IP, at)
	}
	// Wherever the focus is, it can be seen.
	for range 25 {
		p.press(kb.Tab)
		if p.truth(`document.activeElement !== document.body && !(e => {
			const s = getComputedStyle(e);
			return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 || s.boxShadow !== "none";
		})(document.activeElement)`) {
			t.Errorf("nothing shows that %s has the focus", p.focused())
		}
	}
}

// luminance of the page's background, from 0 (black) to 1.
func (p *tab) luminance() float64 {
	p.Helper()
	return p.number(`(() => {
		const c = document.createElement("canvas").getContext("2d");
		const style = [document.body, document.documentElement].map(e => getComputedStyle(e).backgroundColor).find(c => c !== "rgba(0, 0, 0, 0)");
		c.fillStyle = style ?? "white";
		c.fillRect(0, 0, 1, 1);
		const [r, g, b] = c.getImageData(0, 0, 1, 1).data;
		return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
	})()`)
}

// TestDark follows what the user prefers, and the page's own button.
func TestDark(t *testing.T) {
	p := open(t, shop(t).report(t), "")
	p.media("", "prefers-color-scheme", "light")
	light := p.luminance()
	before := p.picture()
	p.media("", "prefers-color-scheme", "dark")
	if dark := p.luminance(); light < 0.8 || dark > 0.2 {
		t.Errorf("luminance of the background: %.2f light, %.2f dark", light, dark)
	}
	if p.picture() == before {
		t.Error("the grid is the same in dark")
	}
	for range 3 {
		if p.luminance() > 0.8 {
			break
		}
		p.click("#theme")
		p.frame()
	}
	if p.luminance() < 0.8 {
		t.Error("the button makes nothing light")
	}
}

// picture is what the grid's canvas shows.
func (p *tab) picture() string {
	p.Helper()
	return p.text(`document.querySelector("#map canvas").toDataURL()`)
}

// TestForcedColours uses the page with the few colours that a user has chosen.
func TestForcedColours(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	before := p.picture()
	p.media("", "forced-colors", "active")
	if !p.truth(`matchMedia("(forced-colors: active)").matches`) {
		skipping.For(t, "this browser does not emulate forced colours")
	}
	if p.picture() == before {
		t.Error("the grid has its own colours")
	}
	p.click("#next")
	p.at(p.place().At)
}

// TestReducedMotion looks that nothing moves by itself where the user wants that.
func TestReducedMotion(t *testing.T) {
	p := open(t, shop(t).report(t), "")
	p.media("", "prefers-reduced-motion", "reduce")
	var moving []string
	p.eval(`[...document.querySelectorAll("*")].filter(e => {
		const s = getComputedStyle(e);
		const lasts = (list) => list.split(",").some(d => parseFloat(d) > 0.01);
		return lasts(s.transitionDuration) || s.animationName !== "none" && lasts(s.animationDuration) || s.scrollBehavior === "smooth";
	}).map(e => e.tagName + "#" + e.id + "." + e.className)`, &moving)
	if len(moving) > 0 {
		t.Errorf("these move: %s", moving)
	}
}

// TestPrint looks at a page as print has it: what is needed is on paper, light, and what can't be used there is not.
func TestPrint(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	p.click("#table summary")
	p.press("g")
	p.media("print")
	var marks []string
	p.eval(`[document.body, document.documentElement, document.querySelector("#when")].map(e => getComputedStyle(e).backgroundColor)
		.filter(c => c !== "rgb(255, 255, 255)" && c !== "rgba(0, 0, 0, 0)")
		.concat([...document.querySelectorAll(".cursor")].filter(e => e.checkVisibility()).map(e => e.className), [getComputedStyle(document.querySelector("#grid")).outlineStyle].filter(s => s !== "none"))`, &marks)
	if len(marks) > 0 {
		t.Errorf("on paper, which is white and has no focus: %q", marks)
	}
	if of := p.text(`document.querySelector("#when").innerText`); !strings.Contains(of, netName+" on node-") {
		t.Errorf("beside the instant, print does not say which network it is of: %q", of)
	}
	p.media("print", "prefers-color-scheme", "dark")
	visible := p.text(`document.body.innerText`)
	for _, want := range []string{"2026-11-02T12:00:00", netName, "node-"} {
		if !strings.Contains(strings.ReplaceAll(visible, " ", "T"), strings.ReplaceAll(want, " ", "T")) {
			t.Errorf("print lacks %q:\n%s", want, visible)
		}
	}
	var controls []string
	// What is a button for its look alone is text here.
	p.eval(`[...document.querySelectorAll("button:not(.link), input, select")].filter(e => e.checkVisibility()).map(e => e.outerHTML)`, &controls)
	if len(controls) > 0 {
		t.Errorf("controls on paper: %s", controls)
	}
}
