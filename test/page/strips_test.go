package page_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// figures are those of leasectl stats for a window, and of leaselog.stats() in the page.
type figures struct {
	Peak   int
	PeakAt *struct{ Seq uint64 } `json:"peak_at"`
	Adds   int
	Dels   int

	Refused map[string]int
	Reuse   struct {
		Count      int
		MedianNS   *int64 `json:"median_ns"`
		ShortestNS *int64 `json:"shortest_ns"`
		IP         string
		Negative   int
		Uncertain  int
	}
	Longest *struct {
		IP    string
		Start struct{ Seq uint64 }
		ForNS int64 `json:"for_ns"`
	} `json:"longest_held"`
}

// TestStrips holds the figures of the strips against those of leasectl stats, of all of a store's time and of some of it.
func TestStrips(t *testing.T) {
	needChromium(t)
	for _, s := range []*store{shop(t), generated(t, "dual-stack", "--leases", "24", "--events", "400", "--days", "1", "--subnet", "10.1.0.0/26", "--dual", "--seed", "2")} {
		for _, window := range [][]string{{"--since", "2026-10-01T00:00:00Z"}, {"--since", "2026-11-02T06:00:00Z", "--until", "2026-11-02T18:00:00Z"}} {
			t.Run(s.name+" "+strings.Join(window, " "), func(t *testing.T) { s.compareFigures(t, window) })
		}
	}
}

func (s *store) compareFigures(t *testing.T, window []string) {
	var stats struct {
		Networks []struct{ Window figures }
	}
	parse(t, s.ctl(t, []int{0, 2}, append([]string{"stats", "-o", "json"}, window...)...), &stats)
	want := stats.Networks[0].Window
	p := open(t, s.report(t, window...), "")
	var got figures
	p.eval(`leaselog.stats()`, &got)
	maps.DeleteFunc(want.Refused, func(_ string, n int) bool { return n == 0 })
	if len(window) > 2 {
		// Addresses that were given back before the time shown are not on the page.
		if got.Reuse.Count > want.Reuse.Count {
			t.Errorf("the page has %d reuses, leasectl stats %d", got.Reuse.Count, want.Reuse.Count)
		}
		want.Reuse, got.Reuse = figures{}.Reuse, figures{}.Reuse
	}
	if w, g := want.Reuse.MedianNS, got.Reuse.MedianNS; w != nil && g != nil && *g >= *w && *g-*w <= *w/1024 {
		*g = *w // which is rounded down
	}
	if w, g := want.Longest, got.Longest; w != nil && g != nil && g.ForNS-w.ForNS <= 1000 && w.ForNS-g.ForNS <= 1000 {
		g.ForNS = w.ForNS // of which the page has fewer digits
	}
	if a, b := text(t, want), text(t, got); a != b {
		t.Errorf("leasectl stats: %s\nthe page:       %s", a, b)
	}
	strips := p.text(`document.querySelector("#strips").textContent`)
	for _, words := range []string{fmt.Sprintf("at most %d at once", want.Peak), fmt.Sprintf("%d ADD", want.Adds), fmt.Sprintf("%d DEL", want.Dels)} {
		if !strings.Contains(strips, words) {
			t.Errorf("the strips lack %q:\n%s", words, strips)
		}
	}
}

// TestUntold has a page of a time that nothing is known of: no strip says that there was none of it.
func TestUntold(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t, "--since", "2025-11-28T00:00:00Z", "--until", "2025-11-29T00:00:00Z"), "")
	p.wait(`document.querySelectorAll("#strips section").length >= 5`)
	strips := p.text(`document.querySelector("#strips").textContent`)
	if n := strings.Count(strips, "nothing is known of this time"); n != 5 {
		t.Errorf("%d strips say that nothing is known, want 5", n)
	}
	for _, words := range []string{"no lease", "no address", "none", "0 ADD"} {
		if strings.Contains(strips, words) {
			t.Errorf("the strips say %q:\n%s", words, strips)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCopy copies the intervals of an address, also where the browser has no clipboard for the page.
func TestCopy(t *testing.T) {
	s := shop(t)
	p := open(t, s.report(t), "#at=2026-11-02T12:00:00Z")
	l := s.at(t, instantOf(t, "2026-11-02T12:00:00Z")).Leases[3]
	p.eval(fmt.Sprintf(`leaselog.go({ip: %s});
		Object.defineProperty(navigator, "clipboard", {value: undefined});
		addEventListener("copy", () => { window.copied = document.activeElement.value; })`, quote(l.IP)), nil)
	p.frame()
	p.clickText("#detail button", "Copy as JSON")
	p.wait(`window.copied?.startsWith("{")`)
	var got, want history
	parse(t, p.text(`window.copied`), &got)
	parse(t, s.ctl(t, []int{0, 2}, "history", "--ip", l.IP, "-o", "json"), &want)
	if a, b := text(t, want), text(t, got); a != b {
		t.Errorf("leasectl history: %s\ncopied:           %s", a, b)
	}
	p.clickText("#detail button", "Copy as text")
	p.wait(`window.copied.startsWith("leaselog: ")`)
	for _, words := range []string{l.IP, l.Pod.Namespace + "/" + l.Pod.Name, l.ContainerID, l.Start.Effective, fmt.Sprintf("(event %d)", l.Start.Seq)} {
		if text := p.text(`window.copied`); !strings.Contains(text, words) {
			t.Errorf("the text copied lacks %q:\n%s", words, text)
		}
	}
	if !p.truth(`document.querySelector(".copied") === null`) {
		t.Error("the text to copy by hand is shown, though it was copied")
	}

	p.eval(`document.execCommand = () => false; window.copied = ""`, nil)
	p.clickText("#detail button", "Copy as text")
	p.wait(`document.querySelector("textarea.copied")?.value.startsWith("leaselog: ")`)
	if said := p.text(`document.querySelector("#detail").textContent`); !strings.Contains(said, "copy it by hand") {
		t.Errorf("that nothing was copied is not said:\n%s", said)
	}
}
