package page_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// hostile are texts as nobody with good intentions would name a pod.
var hostile = []string{
	`<script>pwned = 1</script>`,
	`"><img src=x onerror="pwned=1"><svg onload=pwned=1>`,
	`</script><script>pwned=1</script>`,
	`<!--<script>`,
	`'-pwned=1-'`,
	"javascript:pwned=1",
	`{{.CSP}}${pwned=1}`,
	"\u202egpj.exe\u2066\u200f",
	"line\u2028line\u2029line\r\nline\x00\x1b[31m\x7f",
	"a\u0301\u200b\u200d\ufeff\U000e0041",
	`&lt;b&gt;&amp;#0;`,
	"__proto__",
	"constructor",
	"=1+cmd|' /C calc'!A0",
}

// long is a text of so many bytes without a place to break it.
func long(n int) string { return "long" + strings.Repeat("W", n-4) }

// evil is a store in which all text that comes from outside is hostile.
func evil(t testing.TB) *store {
	t.Helper()
	s := &store{name: "evil", dataDir: filepath.Join(t.TempDir(), `<img src=x onerror=pwned=1>&"'`)}
	subnet := netip.MustParsePrefix("10.0.0.0/26")
	r := journal.Range{Subnet: subnet, Start: netip.MustParseAddr("10.0.0.2"), End: netip.MustParseAddr("10.0.0.62"), Gateway: netip.MustParseAddr("10.0.0.1")}
	clock := journal.Clock{Wall: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC).UnixNano(), Boot: journal.BootID{1}, Synchronised: true}
	genesis := journal.Event{Kind: journal.KindGenesis, Origin: journal.Origin{Journal: journal.ID{7}, Network: netName, Node: hostile[0] + hostile[1]}}
	events := []journal.Event{genesis, {Kind: journal.KindConfig, Ranges: [][]journal.Range{{r}}}}
	ip, n := r.Start, 0
	attachment := func(id, ifname string, pod journal.Pod) {
		a := []journal.Address{{IP: ip, Bits: subnet.Bits(), Gateway: r.Gateway}}
		events = append(events, journal.Event{Kind: journal.KindAdd, ContainerID: id, IfName: ifname, Pod: pod, Config: 2, Addresses: a})
		if ip, n = ip.Next(), n+1; n%3 == 0 {
			events = append(events, journal.Event{Kind: journal.KindRelease, Reason: journal.ReasonForce, ContainerID: id, IfName: ifname, Addresses: a, Text: id})
		}
	}
	for i, text := range hostile {
		attachment(text+fmt.Sprint(i), "eth0", journal.Pod{Namespace: text, Name: text})
		attachment(fmt.Sprint("c", i), text, journal.Pod{Namespace: "shop", Name: text + text})
		events = append(events, journal.Event{Kind: journal.KindRefuse, ContainerID: text, IfName: text, Code: 100, Text: text, Config: 2})
	}
	attachment(long(3000), "eth0", journal.Pod{Namespace: "shop", Name: "of a long container"})
	attachment("of-a-long-pod", "eth0", journal.Pod{Namespace: long(1500), Name: long(1900)})
	for i := range events {
		events[i].Seq, events[i].Clock = journal.Seq(i+1), clock
		clock.Wall, clock.BootTime = clock.Wall+int64(time.Minute), clock.BootTime+int64(time.Minute)
	}
	s.write(t, events)
	return s
}

// TestHostile shows texts that want to be more than text: each is shown, none does anything.
func TestHostile(t *testing.T) {
	s := evil(t)
	p := open(t, s.report(t), "")
	var before float64
	elements := `document.querySelectorAll("script, img, iframe, object, embed, link, base, form[action], [onerror], [onload], a[href^='javascript']").length`
	before = p.number(elements)
	p.click("#table summary")
	for _, ip := range append(s.leased(t), "10.0.0.1", "10.0.0.60") {
		p.eval(fmt.Sprintf(`leaselog.go({ip: %s, query: %[1]s})`, quote(ip)), nil)
		p.frame()
		p.harmless(ip)
	}
	for _, text := range append(hostile, long(1900)) {
		p.press("/")
		p.eval(fmt.Sprintf(`(() => {
			const field = document.querySelector("#search input");
			field.value = %s;
			field.dispatchEvent(new Event("input", {bubbles: true}));
		})()`, quote(text)), nil)
		p.frame()
		p.harmless(text[:min(len(text), 40)])
	}
	p.harmless("the end")
	if n := p.number(elements); n != before {
		t.Errorf("%g elements came in that nobody made", n-before)
	}
	shown := p.text(`document.body.textContent`)
	for _, want := range []string{"<script>pwned = 1</script>", `onerror="pwned=1"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q as it is", want)
		}
	}
	for _, title := range []string{p.text(`document.title`), p.text(`document.querySelector("h1").textContent`)} {
		if strings.ContainsAny(title, "\u202e\u2066\x00") {
			t.Errorf("a title is %q", title)
		}
	}
	p.agrees(s)
}

// harmless looks that nothing ran, that nothing invisible is in the text, and that nothing is wider than the window.
func (p *tab) harmless(what string) {
	p.Helper()
	if p.truth(`window.pwned`) {
		p.Fatalf("%s: a script ran", what)
	}
	// All but the data and the styles, which nobody sees.
	raw := p.text(`(() => {
		const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n = all.nextNode(); n; n = all.nextNode()) {
			if (n.parentElement.closest("script, style, noscript")) continue;
			const found = n.data.match(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u);
			if (found) return n.data.slice(0, 80) + " (" + found[0].codePointAt(0).toString(16) + ") in " + n.parentElement.outerHTML.slice(0, 120);
		}
		return "";
	})()`)
	if raw != "" {
		p.Errorf("%s: an invisible character is shown as it is: %q", what, raw)
	}
	if wide := p.text(`(() => {
		const root = document.documentElement;
		if (root.scrollWidth <= innerWidth) return "";
		const e = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).pop();
		return root.scrollWidth + " > " + innerWidth + ": " + (e?.outerHTML.slice(0, 200) ?? "");
	})()`); wide != "" {
		p.Errorf("%s: the page is wider than the window: %s", what, wide)
	}
}

// TestPolicy tries what the page's Content-Security-Policy has to forbid, in case a text gets where it should not.
func TestPolicy(t *testing.T) {
	p := open(t, shop(t).report(t), "")
	for _, tt := range []struct{ what, script, refused string }{
		{"markup from text", `document.body.innerHTML += "<p>x</p>"`, "require-trusted-types-for"},
		{"a script", `const s = document.createElement("script"); s.text = "pwned = 1"; document.body.append(s)`, "require-trusted-types-for"},
		{"an attribute that is a script", `document.body.setAttribute("onclick", "pwned = 1")`, "require-trusted-types-for"},
		{"a picture from elsewhere", `new Image().src = "http://192.0.2.1/x.png"`, "img-src"},
		{"a request", `fetch("http://192.0.2.1/").catch(() => 0)`, "connect-src"},
		{"a style", `const s = document.createElement("style"); s.textContent = "p { color: red }"; document.head.append(s)`, "style-src"},
		{"a frame", `const f = document.createElement("iframe"); f.src = "http://192.0.2.1/"; document.body.append(f)`, "frame-src"},
		{"a form", `const f = document.createElement("form"); f.action = "http://192.0.2.1/"; document.body.append(f); f.submit()`, "form-action"},
		{"another base", `const b = document.createElement("base"); b.href = "http://192.0.2.1/"; document.head.append(b)`, "base-uri"},
	} {
		p.eval(`new Promise(done => {
			addEventListener("securitypolicyviolation", e => done(window.refused = e.effectiveDirective), {once: true});
			setTimeout(() => done(window.refused ??= ""), 3000);
			try { `+tt.script+` } catch (e) { if (!(e instanceof TypeError)) throw e }
		})`, nil)
		if got := p.text(`window.refused`); !strings.HasPrefix(got, tt.refused) {
			t.Errorf("%s: refused by %q; want %s", tt.what, got, tt.refused)
		}
		p.eval(`window.refused = undefined`, nil)
	}
	if p.truth(`window.pwned`) {
		t.Error("a script ran")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = nil // it was asked for
}
