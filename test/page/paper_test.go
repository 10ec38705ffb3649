package page_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/ledongthuc/pdf"
)

// printed is the text of what the browser makes of a page on paper, without white space: where lines break depends on fonts.
func (p *tab) printed() string {
	p.Helper()
	ctx, done := context.WithTimeout(p.ctx, patience)
	defer done()
	made, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
	if err != nil {
		p.Fatal(err)
	}
	if dir := os.Getenv("LEASELOG_PAGE_OUT"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "print.pdf"), made, 0o644); err != nil {
			p.Fatal(err)
		}
	}
	r, err := pdf.NewReader(bytes.NewReader(made), int64(len(made)))
	if err != nil {
		p.Fatal(err)
	}
	if n := r.NumPage(); n < 1 || n > 50 {
		p.Errorf("printed on %d pages", n)
	}
	var text strings.Builder
	for i := range r.NumPage() {
		page := r.Page(i + 1)
		typeset(page.V.Key("Contents"), page.Resources(), &text)
	}
	return unspaced(text.String())
}

// typeset adds the text of a page, and of the drawings that are put into it: the browser makes one of all that comes before a picture.
func typeset(contents, resources pdf.Value, text *strings.Builder) {
	var enc pdf.TextEncoding
	show := func(v pdf.Value) {
		if v.Kind() == pdf.String {
			text.WriteString(enc.Decode(v.RawString()))
		}
	}
	pdf.Interpret(contents, func(stack *pdf.Stack, op string) {
		args := make([]pdf.Value, stack.Len())
		for i := range args {
			args[len(args)-1-i] = stack.Pop()
		}
		switch op {
		case "Tf":
			font := pdf.Font{V: resources.Key("Font").Key(args[0].Name())}
			enc = font.Encoder()
		case "Tj":
			show(args[0])
		case "TJ":
			for i := range args[0].Len() {
				show(args[0].Index(i))
			}
		case "Do":
			if drawing := resources.Key("XObject").Key(args[0].Name()); drawing.Key("Subtype").Name() == "Form" {
				typeset(drawing, drawing.Key("Resources"), text)
			}
		}
	})
}

// unspaced is a text without white space, and without the letters that fonts draw as one.
func unspaced(text string) string {
	return strings.NewReplacer("ﬁ", "fi", "ﬂ", "fl", "ﬀ", "ff", "ﬃ", "ffi", "ﬄ", "ffl").Replace(strings.Join(strings.Fields(text), ""))
}

// TestPaper prints pages and reads the paper: it says what it is of, what is uncertain, how many addresses are what, and who held
// them; or how many of these it leaves out.
func TestPaper(t *testing.T) {
	s := shop(t)
	const at = "2026-11-02T12:00:00.000000000Z"
	p := open(t, s.report(t), "#at="+at)
	leases := s.at(t, instantOf(t, at)).Leases
	needs := func(paper string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(paper, unspaced(w)) {
				t.Fatalf("the paper lacks %q:\n%s", w, paper)
			}
		}
	}
	var doubts []string
	p.eval(`[...document.querySelectorAll("#about .doubts li")].map(e => e.textContent)`, &doubts)
	if len(doubts) == 0 {
		t.Fatal("there is no doubt to be looked for")
	}
	closed := p.printed()
	needs(closed, doubts...)
	needs(closed, netName+" on node-", s.dir(), at, fmt.Sprintf("Certain: %d addresses held", len(leases)),
		fmt.Sprintf("Lease table: %d leases at %s, left out", len(leases), at),
		fmt.Sprintf("held%d", len(leases)), fmt.Sprintf("free%d", 253-len(leases)), "gateway1", "unknown, which is not free0")
	if strings.Contains(closed, unspaced(leases[0].ContainerID[:13])) {
		t.Error("the table is closed, but on paper")
	}

	p.click("#table summary")
	opened := p.printed()
	for _, l := range leases {
		needs(opened, l.IP+l.ContainerID[:13]+"…"+l.IfName+l.Pod.Namespace+"/"+l.Pod.Name+l.Start.Effective)
	}
	if strings.Contains(opened, "leftout") {
		t.Error("all leases are on paper, but some are said to be left out")
	}
}

// TestPaperOfMany prints a table that is longer than anybody reads, of a store of which nothing is known at the beginning.
func TestPaperOfMany(t *testing.T) {
	s := generated(t, "many", "--leases", "1100", "--events", "2400", "--days", "1", "--subnet", "10.1.0.0/21")
	p := open(t, s.report(t, "--since", "2026-10-31T00:00:00Z"), "")
	p.click("#table summary")
	held := len(s.at(t, instantOf(t, p.place().At)).Leases)
	paper := p.printed()
	if want := fmt.Sprintf("the first 1,000 are below, the other %d are left out", held-1000); held <= 1000 || !strings.Contains(paper, unspaced(want)) {
		t.Errorf("of a table of %d leases the paper does not say %q", held, want)
	}
	p.jump("2026-10-31T12:00:00Z")
	if paper := p.printed(); !strings.Contains(paper, unspaced("Unknown")) {
		t.Errorf("what is unknown is not on paper:\n%s", paper)
	}
}
