package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/leaselog/leaselog/internal/printable"
)

//go:embed web/index.html
var index string

//go:embed web/dist/page.js
var script string

//go:embed web/dist/style.css
var style string

// hashOf is a part of the page as a Content-Security-Policy names it.
func hashOf(part string) string {
	sum := sha256.Sum256([]byte(part))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// policy allows the page its own script and style, and nothing else.
func policy() string {
	return strings.Join([]string{
		"default-src 'none'", "script-src " + hashOf(script), "style-src " + hashOf(style), "img-src data:", "base-uri 'none'", "form-action 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// title says what the page is of.
func (r *Report) title() string {
	title := "Leases"
	for i, v := range r.header.Views {
		if i == 3 {
			return fmt.Sprintf("%s and %d more", title, len(r.header.Views)-i)
		}
		title += map[bool]string{true: " of ", false: ", "}[i == 0] + v.Network
		if v.Node != "" {
			title += " on " + v.Node
		}
		if r.twins(v) > 1 {
			title += " in " + v.Journals[len(v.Journals)-1].Dir
		}
	}
	return title
}

// twins counts the views of the same network and node, in stores of their own.
func (r *Report) twins(of *header) (n int) {
	for _, v := range r.header.Views {
		if v.Network == of.Network && v.Node == of.Node {
			n++
		}
	}
	return n
}

// dataMark is where the page's data goes.
const dataMark = "{{.Data}}"

// Page writes the page.
func (r *Report) Page(w io.Writer) error {
	before, behind, found := strings.Cut(index, dataMark)
	if !found {
		panic("report: the page has no place for its data")
	}
	fill := strings.NewReplacer("{{.Title}}", html.EscapeString(printable.Text(r.title())), "{{.CSP}}", policy(), "{{.Style}}", style, "{{.Script}}", script)
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := fill.WriteString(out, before); err != nil {
		return err
	}
	encoded := base64.NewEncoder(base64.StdEncoding, out)
	parts, err := r.parts()
	if err != nil {
		return err
	}
	if err := pack(encoded, parts, packChunk); err != nil {
		return err
	}
	if err := encoded.Close(); err != nil {
		return err
	}
	if _, err := fill.WriteString(out, behind); err != nil {
		return err
	}
	return out.Flush()
}
