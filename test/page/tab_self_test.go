package page_test

import (
	"strings"
	"testing"
)

// TestWatch looks that what a page must not do is noticed: each of these pages does one such thing.
func TestWatch(t *testing.T) {
	const strict = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'">`
	for _, tt := range []struct{ name, html, found string }{
		{"console", `<script>console.info("hello")</script>`, "console.info: \"hello\""},
		{"exception", `<script>undefined.x</script>`, "exception: "},
		{"rejection", `<script>Promise.reject(new Error("no"))</script>`, "exception: "},
		{"image", `<img src="http://192.0.2.1/x.png" alt="">`, "request: http://192.0.2.1/x.png"},
		{"file", `<script src="other.js"></script>`, "request: file://"},
		{"dialog", `<script>alert("hello")</script>`, "dialog: hello"},
		{"script", strict + `<script>1</script>`, "refused by the policy: script-src-elem inline"},
		{"style", strict + `<p style="color: red">x</p>`, "refused by the policy: style-src-attr inline"},
		{"refused image", strict + `<img src="http://192.0.2.1/x.png" alt="">`, "refused by the policy: img-src http://192.0.2.1/x.png"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := blank(t, write(t, "<!doctype html><meta charset=utf-8><title>page</title>"+tt.html+`<script>onload = () => 0</script>`))
			p.visit("")
			p.wait(`document.readyState === "complete"`)
			p.eval(`new Promise(done => setTimeout(done))`, nil)
			p.mu.Lock()
			found := strings.Join(p.found, "\n")
			p.found = nil
			p.mu.Unlock()
			if !strings.Contains(found, tt.found) {
				t.Errorf("found %q; want %q", found, tt.found)
			}
		})
	}
}
