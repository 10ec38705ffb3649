package page_test

import (
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// press sends keys, one character each; kb has those that no character stands for.
func (p *tab) press(keys ...string) {
	p.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// enter replaces what is in the focused field.
func (p *tab) enter(text string) {
	p.Helper()
	p.do(chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.press(kb.Delete, text)
}

// where returns the middle of an element, scrolled into view.
func (p *tab) where(selector string) (x, y float64) {
	p.Helper()
	return p.part(selector, 0.5, 0.5)
}

// part returns a place of an element by its share of width and height.
func (p *tab) part(selector string, right, down float64) (x, y float64) {
	p.Helper()
	var at []float64
	p.eval(fmt.Sprintf(`(() => {
		const e = document.querySelector(%s);
		if (!e) throw new Error("there is no " + %[1]s);
		e.scrollIntoView({block: "center", inline: "nearest", behavior: "instant"});
		const b = e.getBoundingClientRect();
		return [b.x + b.width * %g, b.y + b.height * %g];
	})()`, quote(selector), right, down), &at)
	return at[0], at[1]
}

// click clicks on an element with the mouse, where a user would see it.
func (p *tab) click(selector string) {
	p.Helper()
	x, y := p.where(selector)
	p.do(chromedp.MouseClickXY(x, y))
}

// clickText clicks on the element of a kind that has a text.
func (p *tab) clickText(selector, text string) {
	p.Helper()
	p.eval(fmt.Sprintf(`(() => {
		const all = [...document.querySelectorAll(%s)].filter(e => e.checkVisibility() && e.textContent.includes(%s));
		if (all.length === 0) throw new Error("there is none of " + %[1]s + " with " + %[2]s);
		all[0].setAttribute("data-test-target", "");
	})()`, quote(selector), quote(text)), nil)
	p.click("[data-test-target]")
	p.eval(`document.querySelector("[data-test-target]")?.removeAttribute("data-test-target")`, nil)
}

// instant is what the page shows as its time, in UTC.
func (p *tab) instant() string {
	p.Helper()
	return p.text(`document.querySelector("#instant").textContent.match(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{9}Z?/)?.[0].replace(" ", "T").replace(/Z?$/, "Z") ?? ""`)
}

// place is where the page says it is.
type place struct{ Network, Node, Store, At, IP, Lease, Net, Query, Colour string }

func (p *tab) place() place {
	p.Helper()
	var at place
	p.eval(`leaselog.place`, &at)
	return at
}

// media emulates preferences of the user, as name, value, name, value...
func (p *tab) media(medium string, features ...string) {
	p.Helper()
	params := emulation.SetEmulatedMediaParams{Media: medium}
	for i := 0; i < len(features); i += 2 {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	call(p, emulation.SetEmulatedMedia, params)
	p.frame()
}

// frame waits until the page has been drawn again.
func (p *tab) frame() {
	p.Helper()
	p.eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))`, nil)
}

// control is a node of the accessibility tree, as a screen reader is told of it.
type control struct{ Role, Name, Value string }

// tree returns what a screen reader is told of the page.
func (p *tab) tree() []control {
	p.Helper()
	var all []control
	for _, n := range call(p, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		all = append(all, control{spoken(n.Role), spoken(n.Name), spoken(n.Value)})
	}
	return all
}

func spoken(v *accessibility.Value) string {
	if v == nil || len(v.Value) == 0 {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// focused names the element that has the focus.
func (p *tab) focused() string {
	p.Helper()
	return p.text(`document.activeElement ? document.activeElement.tagName.toLowerCase() + "#" + document.activeElement.id : ""`)
}

// tabTo presses Tab until an element has the focus.
func (p *tab) tabTo(selector string) {
	p.Helper()
	for range 60 {
		p.press(kb.Tab)
		if p.truth(fmt.Sprintf(`document.activeElement.matches(%s)`, quote(selector))) {
			return
		}
	}
	p.Fatalf("Tab does not lead to %s", selector)
}
