package page_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// span is the time that a page shows.
func (p *tab) span() (from, to string) {
	p.Helper()
	var ends []string
	p.eval(`(() => {
		const before = leaselog.place.at, ends = [];
		for (const id of ["first", "last"]) { document.getElementById(id).click(); ends.push(leaselog.place.at); }
		leaselog.go({at: before});
		return ends;
	})()`, &ends)
	return ends[0], ends[1]
}

// TestSlide moves the slider by keys and by the mouse. The grid, the words and the table go with it.
func TestSlide(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	from, to := p.span()
	p.tabTo("#slider")
	p.press(kb.Home)
	p.at(from)
	p.press(kb.End)
	p.at(to)
	p.press(kb.ArrowLeft)
	p.frame()
	if at := p.place().At; at >= to || at < from {
		t.Errorf("one step left of the end is %s; the page shows %s to %s", at, from, to)
	}
	p.press(kb.PageDown)
	p.frame()
	before := p.place().At
	x, y := p.part("#slider", 0.9, 0.5)
	x2, y2 := p.part("#slider", 0.3, 0.5)
	p.do(chromedp.DragAndDropXY(x, y, x2, y2, 5))
	p.frame()
	if at := p.place().At; at >= before || at <= from {
		t.Errorf("dragged back from %s to %s", before, at)
	}
	p.at(p.place().At)
	p.agrees(s)
	if n := p.number(`performance.getEntriesByName("leaselog:step").length`); n < 5 {
		t.Errorf("%g steps were measured; the slider made at least five", n)
	}
	if text := p.text(`document.querySelector("#slider").getAttribute("aria-valuetext")`); !strings.Contains(text, p.place().At[:10]) {
		t.Errorf("the slider says %q at %s", text, p.place().At)
	}
}

// at waits until the page has moved to an instant in all its parts.
func (p *tab) at(instant string) {
	p.Helper()
	p.wait(fmt.Sprintf(`leaselog.place.at === %s`, quote(instant)))
	p.frame()
	if shown := p.instant(); shown != instant {
		p.Errorf("the page shows %q as its instant, and is at %s", shown, instant)
	}
}

// agrees looks that the page's table is leasectl's, at the page's instant.
func (p *tab) agrees(s *store) {
	p.Helper()
	var got table
	p.eval(`leaselog.at()`, &got)
	want := s.at(p, instantOf(p, p.place().At))
	if len(got.Leases) != len(want.Leases) || got.Certainty != want.Certainty {
		p.Errorf("at %s the page has %d leases, %s; leasectl at has %d, %s", p.place().At, len(got.Leases), got.Certainty, len(want.Leases), want.Certainty)
	}
}

// TestPlay plays, and stops.
func TestPlay(t *testing.T) {
	p := open(t, shop(t).report(t), "")
	p.click("#first")
	from := p.place().At
	p.eval(`new MutationObserver(() => window.shown = (window.shown ?? new Set()).add(document.querySelector("#instant").textContent))
		.observe(document.querySelector("#instant"), {childList: true, characterData: true, subtree: true})`, nil)
	p.click("#play")
	p.wait(`window.shown?.size > 5`)
	p.click("#play")
	p.frame()
	stopped := p.place().At
	p.frame()
	p.frame()
	if at := p.place().At; at != stopped || at <= from {
		t.Errorf("played from %s, stopped at %s, and then it was %s", from, stopped, at)
	}
	p.at(stopped)
	p.do(chromedp.KeyEvent(" "))
	p.wait(fmt.Sprintf(`leaselog.place.at !== %s`, quote(stopped)))
	p.press(" ")
}

// TestStep goes from event to event, by buttons and by keys, and says what happened. Events of one instant are one step.
func TestStep(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	happened := map[string][]event{}
	for _, ev := range s.events(t) {
		happened[ev.Effective] = append(happened[ev.Effective], ev)
	}
	at := slices.Sorted(maps.Keys(happened))
	p.click("#first")
	for i := range at[:6] {
		switch {
		case i == 0:
		case i%2 == 0:
			p.click("#next")
		default:
			p.press(".")
		}
		p.at(at[i])
		words := p.text(`document.querySelector("#event").textContent`)
		for _, ev := range happened[at[i]] {
			if !strings.Contains(words, fmt.Sprintf("event %d: %s", ev.Seq, ev.Kind)) {
				t.Errorf("at event %d, %s, the page says %q", ev.Seq, ev.Kind, words)
			}
		}
	}
	p.click("#previous")
	p.at(at[4])
	p.press(",")
	p.at(at[3])
	p.click("#last")
	p.frame()
	p.agrees(s)
	p.press(",")
	p.at(at[len(at)-2])
}

// TestJump types times into the field, in all forms of the command line, and such as are refused there.
func TestJump(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "")
	for _, tt := range []struct{ text, zone, at string }{
		{text: "2026-11-02T14:05:00Z", at: "2026-11-02T14:05:00.000000000Z"},
		{text: "2026-11-02T14:05:00.123456789+01:00", at: "2026-11-02T13:05:00.123456789Z"},
		{text: "1793629500", at: "2026-11-02T14:25:00.000000000Z"},
		{text: "1793629500.000000001", at: "2026-11-02T14:25:00.000000001Z"},
		{text: "2026-11-02 14:05", at: "2026-11-02T14:05:00.000000000Z"},
		{text: "2026-11-02 14:05:09", at: "2026-11-02T14:05:09.000000000Z"},
		{text: "2026-11-02 14:05", zone: "Europe/Vienna", at: "2026-11-02T13:05:00.000000000Z"},
	} {
		p.zone(tt.zone)
		p.jump(tt.text)
		p.at(tt.at)
		if wrong := p.refused(); wrong != "" {
			t.Errorf("%s (%s): went there, and says %q", tt.text, tt.zone, wrong)
		}
	}
	before := p.place().At
	for _, tt := range []struct{ text, zone, words string }{
		{text: "nonsense"},
		{text: "2012", words: "ten digits"},
		{text: "2026-13-01 00:00"},
		{text: "2026-10-25 02:40", zone: "Europe/Vienna", words: "twice"},
		{text: "2026-03-29 02:30", zone: "Europe/Vienna", words: "Vienna"},
	} {
		p.zone(tt.zone)
		p.jump(tt.text)
		p.wait(`document.querySelector("#jump-error").textContent !== ""`)
		if wrong := p.refused(); !strings.Contains(wrong, tt.words) || p.place().At != before {
			t.Errorf("%s (%s): says %q and is at %s; want %q, and to stay at %s", tt.text, tt.zone, wrong, p.place().At, tt.words, before)
		}
		if p.text(`document.querySelector("#jump").getAttribute("aria-invalid") ?? ""`) != "true" {
			t.Errorf("%s: the field is not marked as invalid", tt.text)
		}
	}
	p.press(kb.Escape)
	if p.focused() == "input#jump" || p.refused() != "" {
		t.Errorf("Escape: the focus is on %s, and it says %q", p.focused(), p.refused())
	}
	p.jump("1793629500")
	p.at("2026-11-02T14:25:00.000000000Z")
	if wrong := p.refused(); wrong != "" {
		t.Errorf("a right time after wrong ones: it still says %q", wrong)
	}
}

// jump types a time into the field.
func (p *tab) jump(text string) {
	p.Helper()
	p.click("#jump")
	p.enter(text)
	p.press(kb.Enter)
}

func (p *tab) refused() string {
	p.Helper()
	return p.text(`document.querySelector("#jump-error").textContent`)
}

// zone chooses the zone that times are typed in; "" is UTC.
func (p *tab) zone(name string) {
	p.Helper()
	if name == "" {
		name = "UTC"
	}
	p.eval(fmt.Sprintf(`(() => {
		const zone = document.querySelector("#zone");
		zone.value = %s;
		zone.dispatchEvent(new Event("input", {bubbles: true}));
		zone.dispatchEvent(new Event("change", {bubbles: true}));
	})()`, quote(name)), nil)
}
