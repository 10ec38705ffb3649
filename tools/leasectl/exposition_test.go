package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The rules of Prometheus' text format, version 0.0.4, as its own parser and linter have them, as far as they can be broken
// here. They are read from a text's bytes alone, not from what wrote them.
var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ([^ ]+)$`)
)

// exposition is a text in Prometheus' format, parsed.
type exposition struct {
	kinds  map[string]string  // by metric
	values map[string]float64 // by series: name, then labels sorted, values quoted by Go
}

// parseExposition reads a text, and refuses what Prometheus or a reader of it might.
func parseExposition(text string) (*exposition, error) {
	e := &exposition{map[string]string{}, map[string]float64{}}
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	if !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line has no end")
	}
	helped, over := map[string]bool{}, map[string]bool{}
	family := ""
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		begin := func(name string) error {
			if name != family {
				over[family] = true
				family = name
			}
			if over[name] {
				return fmt.Errorf("%s is in two places", name)
			}
			return nil
		}
		if err := e.line(line, helped, begin); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n+1, line, err)
		}
	}
	for name := range e.kinds {
		if !helped[name] {
			return nil, fmt.Errorf("%s has no HELP", name)
		}
	}
	return e, nil
}

func (e *exposition) line(line string, helped map[string]bool, begin func(string) error) error {
	word, rest, _ := strings.Cut(line, " ")
	if word != "#" {
		return e.sample(line, begin)
	}
	what, rest, _ := strings.Cut(rest, " ")
	name, rest, _ := strings.Cut(rest, " ")
	if !metricName.MatchString(name) || rest == "" {
		return errors.New("not a comment about a metric")
	}
	if err := begin(name); err != nil {
		return err
	}
	switch what {
	case "HELP":
		if helped[name] || e.kinds[name] != "" {
			return errors.New("HELP twice or after TYPE")
		}
		helped[name] = true
	case "TYPE":
		if e.kinds[name] != "" {
			return errors.New("TYPE twice")
		}
		if rest != "counter" && rest != "gauge" {
			return errors.New("not a type of ours")
		}
		if rest == "counter" != strings.HasSuffix(name, "_total") {
			return errors.New("counters end in _total, and nothing else does")
		}
		e.kinds[name] = rest
	default:
		return errors.New("neither HELP nor TYPE")
	}
	return nil
}

func (e *exposition) sample(line string, begin func(string) error) error {
	m := sampleLine.FindStringSubmatch(line)
	if m == nil {
		return errors.New("not a sample")
	}
	if err := begin(m[1]); err != nil {
		return err
	}
	if e.kinds[m[1]] == "" {
		return errors.New("no TYPE before it")
	}
	labels, err := parseLabels(m[2])
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return err
	}
	if v < 0 {
		return errors.New("less than none")
	}
	series := m[1]
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		series += fmt.Sprintf(" %s=%q", name, labels[name])
	}
	if _, twice := e.values[series]; twice {
		return errors.New("twice")
	}
	e.values[series] = v
	return nil
}

// parseLabels reads labels in braces, "" for none.
func parseLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	if text == "" {
		return labels, nil
	}
	text = text[1:]
	for {
		name, rest, found := strings.Cut(text, `="`)
		if !found || !labelName.MatchString(name) {
			return nil, errors.New("not a label")
		}
		if _, twice := labels[name]; twice {
			return nil, errors.New("label twice")
		}
		value, rest, err := parseValue(rest)
		if err != nil {
			return nil, err
		}
		labels[name] = value
		switch {
		case rest == "}":
			return labels, nil
		case strings.HasPrefix(rest, ","):
			text = rest[1:]
		default:
			return nil, errors.New("junk after a label")
		}
	}
}

// parseValue reads a label's value up to its closing quote.
func parseValue(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			i++
			if i == len(text) {
				return "", "", errors.New("a value without an end")
			}
			meant, ok := map[byte]byte{'\\': '\\', '"': '"', 'n': '\n'}[text[i]]
			if !ok {
				return "", "", errors.New("an escape that means nothing")
			}
			b.WriteByte(meant)
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("a value without an end")
}

// TestParseExposition: what the other tests rely on refuses each mistake by itself.
func TestParseExposition(t *testing.T) {
	const head = "# HELP a_total x\n# TYPE a_total counter\n"
	good := head + "a_total{network=\"x\\\\\\\"\\n\",reason=\"b\"} 18446744073709551613\na_total 1\n"
	e, err := parseExposition(good)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := e.values[`a_total network="x\\\"\n" reason="b"`], 18446744073709551613.0; got != want {
		t.Errorf("got %v, want %v, of %v", got, want, e.values)
	}
	tests := []struct{ name, text string }{
		{"no end", strings.TrimSuffix(good, "\n")},
		{"not UTF-8", head + "a_total{network=\"\xff\"} 1\n"},
		{"no TYPE", "# HELP a_total x\na_total 1\n"},
		{"no HELP", "# TYPE a_total counter\na_total 1\n"},
		{"HELP twice", head + "# HELP a_total x\n"},
		{"TYPE twice", head + "# TYPE a_total counter\n"},
		{"TYPE first", "# TYPE a_total counter\n# HELP a_total x\n"},
		{"in two places", head + "a_total 1\n# HELP b x\n# TYPE b gauge\nb 1\na_total{x=\"y\"} 1\n"},
		{"twice", good + "a_total 1\n"},
		{"twice, labels in another order", good + "a_total{reason=\"b\",network=\"x\\\\\\\"\\n\"} 1\n"},
		{"a gauge by name", "# HELP a x\n# TYPE a counter\na 1\n"},
		{"a counter by name", "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n"},
		{"a bad name", "# HELP a-b x\n"},
		{"a bad label", head + "a_total{a-b=\"x\"} 1\n"},
		{"label twice", head + "a_total{a=\"x\",a=\"y\"} 1\n"},
		{"an open value", head + "a_total{a=\"x} 1\n"},
		{"a quote in a value", head + "a_total{a=\"x\"y\"} 1\n"},
		{"an unknown escape", head + "a_total{a=\"\\x\"} 1\n"},
		{"a line feed in a value", head + "a_total{a=\"x\ny\"} 1\n"},
		{"no number", head + "a_total unknown\n"},
		{"no value", head + "a_total\n"},
		{"below 0", head + "a_total -1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parseExposition(test.text); err == nil {
				t.Errorf("accepted:\n%s", test.text)
			}
		})
	}
}
