package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a list of living containers.
const (
	maxLiveList = 64 << 20 // bytes
	maxLiveID   = 4 << 10  // bytes; a lease's fits a record of that size
	minShortID  = 12       // digits that docker ps and podman ps show of an ID
)

// idRunes are what container IDs are made of on a network.
const idRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

// liveList are the IDs of containers that somebody says are alive.
type liveList struct {
	name    string // of the file, for messages
	ids     map[string]bool
	lengths []int     // of the IDs from minShortID on, ascending: of those that a longer one may begin with
	written time.Time // when the file was changed last; zero if it is no file
}

// readLiveList reads the list from a file, or from stdin if it is called "-".
func readLiveList(path string, stdin io.Reader) (*liveList, error) {
	l := &liveList{name: fmt.Sprintf("live list %s", path), ids: map[string]bool{}}
	if path == "-" {
		l.name = "live list on standard input"
		return l, l.read(stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("live list: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("live list: %w", err)
	}
	if info.Mode().IsRegular() {
		l.written = info.ModTime()
	}
	return l, l.read(f)
}

func (l *liveList) read(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxLiveList+1))
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if len(text) > maxLiveList {
		return fmt.Errorf("%s: more than %d MiB; want container IDs", l.name, maxLiveList>>20)
	}
	if err := l.parse(text); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	for id := range l.ids {
		if len(id) >= minShortID && !slices.Contains(l.lengths, len(id)) {
			l.lengths = append(l.lengths, len(id))
		}
	}
	slices.Sort(l.lengths)
	return nil
}

// parse takes in IDs, one a line, or JSON. An ID begins with neither bracket.
func (l *liveList) parse(text []byte) error {
	if at := slices.IndexFunc(text, isControl); at >= 0 {
		return fmt.Errorf("line %d: control byte 0x%02x; want text", lineOf(text, at), text[at])
	}
	if !utf8.Valid(text) {
		return fmt.Errorf("line %d: not UTF-8; want text", lineOf(text, firstInvalid(text)))
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark
	if start := bytes.TrimSpace(text); len(start) > 0 && bytes.IndexByte([]byte(`[{"`), start[0]) >= 0 {
		return l.parseJSON(text)
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		id := string(bytes.TrimSpace(line))
		if id == "" || id[0] == '#' {
			continue
		}
		if strings.ContainsAny(id, " \t") {
			return fmt.Errorf("line %d: more than one word; want one container ID a line, or JSON", n)
		}
		if id == "null" { // by jq, of objects that have no such key
			return fmt.Errorf("line %d: null is no container ID", n)
		}
		if err := l.add(id); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

func isControl(b byte) bool { return b < ' ' && b != '\t' && b != '\n' && b != '\r' || b == 0x7f }

// lineOf returns the number of the line that byte at stands in.
func lineOf(text []byte, at int) int { return bytes.Count(text[:at], []byte("\n")) + 1 }

// firstInvalid returns where text stops being UTF-8.
func firstInvalid(text []byte) int {
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return len(text)
}

// add takes in an ID. What no container can be called is refused: it would mean that nobody is alive under the ID that was
// meant, be it "containerd://ID" or one behind a byte order mark.
func (l *liveList) add(id string) error {
	if len(id) > maxLiveID {
		return fmt.Errorf("a container ID of %d bytes, at most %d", len(id), maxLiveID)
	}
	if strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune(idRunes, r) }) {
		return fmt.Errorf("%q is no container ID: want letters, digits, and _ . -", id)
	}
	l.ids[id] = true
	return nil
}

// Keys of JSON objects that runtimes print. A pod's sandbox is what has addresses; a container tells which it is in.
var (
	idKeys = []string{"id", "Id", "ID", "containerID", "containerId", "container_id", "podSandboxId"}
	inKeys = []string{"items", "containers", "Containers", "pods", "cni.dev/valid-attachments"}
)

// jsonList reads IDs from JSON, token by token: nothing that stands there twice may hide what stood first.
type jsonList struct {
	l     *liveList
	dec   *json.Decoder
	depth int // of arrays and objects
}

// maxDepth is more than any runtime nests its lists.
const maxDepth = 100

// parseJSON takes in one value or more: strings, objects, or arrays of them.
func (l *liveList) parseJSON(text []byte) error {
	p := &jsonList{l: l, dec: json.NewDecoder(bytes.NewReader(text))}
	for {
		err := p.value()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			at := min(p.dec.InputOffset(), int64(len(text)))
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				at = min(syntax.Offset, int64(len(text)))
			}
			return fmt.Errorf("line %d, byte %d: %w", lineOf(text, int(at)), at, err)
		}
	}
}

// errEnd says that the text ends between two values.
var errEnd = errors.New("end")

// value reads the next value of a list, at its top level or within.
func (p *jsonList) value() error {
	token, err := p.dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return errEnd
	case err != nil:
		return err
	}
	switch v := token.(type) {
	case string:
		return p.id(v)
	case json.Delim:
		if p.depth++; p.depth > maxDepth {
			return fmt.Errorf("nested more than %d deep", maxDepth)
		}
		if v == '[' {
			err = p.array()
		} else {
			err = p.object()
		}
		p.depth--
		return err
	}
	return fmt.Errorf("%v is no container ID", token)
}

// array reads what follows its bracket.
func (p *jsonList) array() error {
	for p.dec.More() {
		if err := p.value(); err != nil {
			return unended(err)
		}
	}
	return p.close()
}

// close reads the bracket that ends an array or object.
func (p *jsonList) close() error {
	_, err := p.dec.Token()
	return unended(err)
}

// unended is the error for what ends before its bracket.
func unended(err error) error {
	if errors.Is(err, errEnd) || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// object reads what follows its bracket. One that says nothing of a container is another kind of list.
func (p *jsonList) object() error {
	known := false
	for p.dec.More() {
		key, err := p.dec.Token()
		if err != nil {
			return unended(err)
		}
		name, _ := key.(string)
		switch {
		case slices.Contains(idKeys, name):
			id := ""
			if err := p.dec.Decode(&id); err != nil {
				return unended(err)
			}
			if id != "" {
				known = true
				err = p.id(id)
			}
			if err != nil {
				return err
			}
		case slices.Contains(inKeys, name):
			known = true
			if err := p.inner(); err != nil {
				return err
			}
		default:
			var skipped json.RawMessage
			if err := p.dec.Decode(&skipped); err != nil {
				return unended(err)
			}
		}
	}
	if err := p.close(); err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("an object with none of %s", strings.Join(idKeys, ", "))
	}
	return nil
}

// inner reads the list in an object: null is an empty one.
func (p *jsonList) inner() error {
	token, err := p.dec.Token()
	switch {
	case err != nil:
		return unended(err)
	case token == nil:
		return nil
	case token == json.Delim('['):
		return p.array()
	}
	return fmt.Errorf("%v where a list is wanted", token)
}

func (p *jsonList) id(id string) error {
	if id = strings.TrimSpace(id); id == "" {
		return errors.New("an empty container ID")
	}
	if slices.ContainsFunc([]byte(id), isControl) {
		return fmt.Errorf("container ID %q: control byte", id)
	}
	return p.l.add(id)
}

// names returns the listed ID that means the container, "" if there is none, and how it does.
func (l *liveList) names(containerID string) (listed, how string) {
	if l.ids[containerID] {
		return containerID, "listed"
	}
	if short := l.shortOf(containerID); short != "" {
		return short, "it begins with the listed ID " + short
	}
	// nerdctl's containers are called NAMESPACE-ID on a network.
	for rest := containerID; ; {
		_, after, ok := strings.Cut(rest, "-")
		if !ok {
			return "", ""
		}
		rest = after
		if l.ids[rest] && len(rest) >= minShortID {
			return rest, "after its namespace it is the listed ID " + rest
		}
		if short := l.shortOf(rest); short != "" {
			return short, "after its namespace it begins with the listed ID " + short
		}
	}
}

// shortOf returns a listed ID that the container's begins with.
func (l *liveList) shortOf(containerID string) string {
	for _, n := range l.lengths {
		if n >= len(containerID) {
			break
		}
		if l.ids[containerID[:n]] {
			return containerID[:n]
		}
	}
	return ""
}
