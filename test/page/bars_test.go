package page_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

var (
	bars       = flag.String("bars", "", "measure how fast pages are, and write it to this file")
	screenshot = flag.String("screenshot", "", "write pictures of a page to this folder")
)

// TestBars measures how long pages take to be made, to open and to move. It is no test: it fails at nothing but errors.
func TestBars(t *testing.T) {
	if *bars == "" {
		t.Skip("for make page-bench, which gives -bars")
	}
	needChromium(t)
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	version, err := chromedp.CallBrowser(chromium, browser.GetVersion, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	say("# The page of leasectl report: how fast it is\n")
	say("Written by `make page-bench`, on %d cores (%s), in %s without a window and without a GPU. Medians; in brackets the fastest and the slowest.\n",
		runtime.NumCPU(), cpu(), version.Product)
	say("| store | events | page, bytes | made | opens | slider step | steps |")
	say("| --- | --- | --- | --- | --- | --- | --- |")
	for _, b := range []struct {
		name   string
		events int
		args   []string
		opens  int
	}{
		{"a day of a busy node, /16", 40_000, []string{"--days", "1", "--leases", "250", "--subnet", "10.0.0.0/16"}, 15},
		{"/16, half of it held", 100_000, []string{"--days", "7", "--leases", "30000", "--subnet", "10.0.0.0/16"}, 15},
		{"/16", 100_000, []string{"--days", "7", "--leases", "250", "--subnet", "10.0.0.0/16"}, 15},
		{"/16, packed", 1_000_000, []string{"--days", "30", "--leases", "250", "--subnet", "10.0.0.0/16", "--pack"}, 5},
	} {
		s := generated(t, b.name, append(b.args, "--events", fmt.Sprint(b.events))...)
		file := filepath.Join(t.TempDir(), "report.html")
		var made, opened []float64
		for range 5 {
			began := time.Now()
			s.ctl(t, []int{0, 2, 3}, "report", "-o", file)
			made = append(made, time.Since(began).Seconds())
			if err := os.Rename(file, file+"x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(file+"x", file); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		var steps []float64
		for i := range b.opens {
			p := open(t, file, "")
			opened = append(opened, p.number(`performance.getEntriesByName("leaselog:open")[0].duration`))
			if i == 0 {
				steps = p.steps(400)
			}
			if err := chromedp.Cancel(p.ctx); err != nil {
				t.Fatal(err)
			}
		}
		say("| %s | %d | %d | %s | %s | %s | %d |", b.name, b.events, st.Size(), spread(made, "%.2f s"), spread(opened, "%.0f ms"), spread(steps, "%.1f ms"), len(steps))
	}
	say("\n*made*: `leasectl report`, start to end. *opens*: from the navigation to the first picture (`leaselog:open`). *slider step*: moving all addresses to")
	say("another instant and drawing them (`leaselog:step`), from one end of the time shown to the other and back, in steps of all sizes.")
	if err := os.WriteFile(*bars, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// steps moves the slider n times, a frame each, and returns how long each step took, in milliseconds.
func (p *tab) steps(n int) []float64 {
	p.Helper()
	var took []float64
	p.eval(fmt.Sprintf(`(async () => {
		const slider = document.querySelector("#slider"), min = +slider.min, max = +slider.max;
		performance.clearMeasures("leaselog:step");
		for (let i = 0; i < %[1]d; i++) {
			// A slow walk there, and leaps back.
			const share = i < %[1]d / 2 ? i / (%[1]d / 2) : (i * 0.618) %% 1;
			slider.value = String(min + share * (max - min));
			slider.dispatchEvent(new Event("input", {bubbles: true}));
			await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
		}
		return performance.getEntriesByName("leaselog:step").map(e => e.duration);
	})()`, n), &took)
	if len(took) < n/2 {
		p.Fatalf("%d of %d steps were measured", len(took), n)
	}
	return took
}

// spread is the median of what was measured, with the extremes.
func spread(all []float64, format string) string {
	slices.Sort(all)
	f := func(v float64) string { return fmt.Sprintf(format, v) }
	return fmt.Sprintf("%s (%s to %s)", f(all[len(all)/2]), f(all[0]), f(all[len(all)-1]))
}

// cpu is the processor's name.
func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// TestScreenshot makes the pictures that README shows.
func TestScreenshot(t *testing.T) {
	if *screenshot == "" {
		t.Skip("for make screenshot, which gives -screenshot")
	}
	s := generated(t, "pictures", "--leases", "260", "--events", "6000", "--days", "2", "--subnet", "10.88.0.0/23", "--seed", "7")
	file := s.report(t)
	for name, scheme := range map[string]string{"report.png": "light", "report-dark.png": "dark"} {
		p := blank(t, file)
		p.do(chromedp.EmulateViewport(1320, 860, chromedp.EmulateScale(1.5)))
		p.media("", "prefers-color-scheme", scheme)
		p.visit("#at=2026-11-02T12:00:00Z")
		p.ready()
		p.eval(`leaselog.go({ip: leaselog.at().leases[42].ip})`, nil)
		p.frame()
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshot, name), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
