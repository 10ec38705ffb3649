package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --tz works on nodes without a zone database
)

// timesHelp says in a command's help what a time may look like.
const timesHelp = `Times: RFC 3339 (2026-11-03T14:05:00Z), Unix seconds, "2026-11-03 14:05" and "yesterday 14:05" (in
--tz), -2h, now. What a time was taken for is said first, in UTC.`

// instant understands a time of the command line and says on stderr what it was taken for, after the word that names it.
func (a *app) instant(word, text string) (time.Time, error) {
	zone, err := parseZone(a.tz)
	if err != nil {
		return time.Time{}, err
	}
	t, err := parseInstant(text, a.now, zone)
	if err != nil {
		return time.Time{}, err
	}
	a.say("%s %s", word, stamp(t))
	return t, nil
}

// Layouts of a local time.
const (
	clockSeconds = "2006-01-02 15:04:05"
	clockMinutes = "2006-01-02 15:04"
)

// parseInstant reads a time as people write it: RFC 3339, Unix seconds, a local time
// in zone, "-2h", "now", "yesterday 14:05" or "today 14:05". What may mean two things, or none, is refused, with
// what to write instead.
func parseInstant(s string, now time.Time, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	t, err := instantOf(s, now, zone)
	if err == nil && (t.Year() < 1678 || t.Year() > 2261) {
		err = errors.New("beyond what a journal can hold")
	}
	if err != nil {
		return time.Time{}, usagef("time %q: %w", s, err)
	}
	return t.UTC(), nil
}

func instantOf(s string, now time.Time, zone *time.Location) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if isFine(s) {
		return time.Time{}, errors.New("finer than nanoseconds")
	}
	if rfc3339.MatchString(s) { // Parse alone takes more than that
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, nil
		}
	}
	switch {
	case strings.HasPrefix(s, "-"):
		return ago(s, now)
	case strings.Trim(s, "0123456789.") == "" && strings.ContainsAny(s, "0123456789"):
		return unixTime(s)
	}
	clock := s
	for word, days := range map[string]int{"today ": 0, "yesterday ": -1} {
		if rest, ok := strings.CutPrefix(s, word); ok {
			clock = now.In(zone).AddDate(0, 0, days).Format(time.DateOnly) + " " + rest
			break
		}
	}
	for _, layout := range []string{clockSeconds, clockMinutes} {
		if t, err := time.Parse(layout, clock); err == nil && strings.HasPrefix(clock, t.Format(layout)) && !strings.Contains(clock, ",") {
			return local(t, zone)
		}
	}
	return time.Time{}, refused(s)
}

// isFine reports whether a text ends in a fraction of more than nine digits, before a zone.
func isFine(s string) bool { return fineFraction.MatchString(s) }

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$`)

var fineFraction = regexp.MustCompile(`\d[.,]\d{10,}(\D|$)`)

// ago reads a duration before now: Go's units, and d for 24 hours.
func ago(s string, now time.Time) (time.Time, error) {
	days, rest, ok := strings.Cut(s[1:], "d")
	if !ok {
		days, rest = "0", s[1:]
	}
	n, err := strconv.ParseUint(days, 10, 16)
	var d time.Duration
	if err == nil && rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || s == "-" || strings.ContainsAny(rest, "+-") || ok && d >= 24*time.Hour {
		return time.Time{}, errors.New("want a duration such as -2h, -90m, -1h30m or -3d")
	}
	return now.Add(-time.Duration(n)*24*time.Hour - d), nil
}

// smallestUnixTime parts Unix seconds from other numbers: it is in 2001. Sequence numbers are below: a
// journal of a billion events takes 300 GB.
const smallestUnixTime = 1_000_000_000

// unixTime reads seconds since 1970 exactly; a float would lose nanoseconds.
func unixTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case len(whole) == 8 && isLayout("20060102", whole):
		return time.Time{}, fmt.Errorf("a day alone: write %q for its beginning", whole[:4]+"-"+whole[4:6]+"-"+whole[6:]+" 00:00")
	case len(whole) == 14 && isLayout("20060102150405", whole):
		t, _ := time.Parse("20060102150405", whole)
		return time.Time{}, fmt.Errorf("neither Unix seconds nor RFC 3339: write %q", t.Format(clockSeconds))
	case err != nil, strings.Contains(fraction, "."):
		return time.Time{}, errors.New("no such number of seconds")
	case fraction == "" && !strings.Contains(s, ".") && sec >= smallestUnixTime*1000:
		return time.Time{}, finerUnit(whole)
	case sec > math.MaxInt64/int64(time.Second):
		return time.Time{}, errors.New("no such number of seconds")
	case sec < smallestUnixTime:
		return time.Time{}, errors.New("before 2001 as Unix seconds; those have ten digits now")
	}
	ns := 0
	if fraction != "" {
		if ns, err = strconv.Atoi((fraction + "000000000")[:9]); err != nil {
			return time.Time{}, errors.New("no such number of seconds")
		}
	}
	return time.Unix(sec, int64(ns)), nil
}

func isLayout(layout, s string) bool {
	t, err := time.Parse(layout, s)
	return err == nil && t.Year() > 1970 && t.Year() < 2100
}

// finerUnit says how to write Unix time of a finer unit in seconds.
func finerUnit(digits string) error {
	for _, unit := range []struct {
		name   string
		digits int
	}{{"nanoseconds", 9}, {"microseconds", 6}, {"milliseconds", 3}} {
		if at := len(digits) - unit.digits; at == 10 {
			return fmt.Errorf("looks like %s: write Unix seconds, %s.%s", unit.name, digits[:at], digits[at:])
		}
	}
	return errors.New("no such number of seconds")
}

// local returns the one instant at which clocks in zone show what t shows in UTC. When
// clocks are put back there are two, when they are put forward none: both are refused.
func local(t time.Time, zone *time.Location) (time.Time, error) {
	var readings, found []time.Time // with the offsets before and after a change
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := t.Add(near).In(zone).Zone()
		u := t.Add(-time.Duration(offset) * time.Second)
		if len(readings) == 0 || !readings[0].Equal(u) {
			readings = append(readings, u)
			if u.In(zone).Format(clockSeconds) == t.Format(clockSeconds) {
				found = append(found, u)
			}
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var written []string
	for _, u := range readings {
		offset := time.FixedZone("", int(t.Sub(u)/time.Second))
		written = append(written, fmt.Sprintf("%s (%s)", u.In(offset).Format(time.RFC3339Nano), stamp(u)))
	}
	how := "showed it twice; write which one is meant: "
	if len(found) == 0 {
		how = "were put forward over it and never showed it; write what is meant: "
	}
	return time.Time{}, errors.New("clocks in " + zone.String() + " " + how + strings.Join(written, " or "))
}

// offsets are zones without a name, as in --tz +02:00.
var offsets = regexp.MustCompile(`^([+-])(\d\d)(?::?(\d\d))?$`)

// parseZone reads a zone's name in the IANA database, or an offset from UTC.
func parseZone(name string) (*time.Location, error) {
	if m := offsets.FindStringSubmatch(name); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi("0" + m[3])
		seconds := (hours*60 + minutes) * 60
		if hours > 14 || minutes > 59 || seconds > 14*3600 {
			return nil, usagef("time zone %q: there is no offset beyond 14 hours", name)
		}
		if m[1] == "-" {
			seconds = -seconds
		}
		return time.FixedZone(name, seconds), nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil && name != "Local" && name != "" {
		return zone, nil
	}
	hint := ""
	if proper := properZone(name); proper != "" {
		hint = fmt.Sprintf("; %s is one", proper)
	} else if len(name) <= 4 && name != "" && name == strings.ToUpper(name) {
		hint = "; abbreviations mean several zones"
	}
	return nil, usagef("time zone %q: want a name such as Europe/Vienna, an offset such as +02:00, or UTC%s", name, hint)
}

// properZone returns the zone that differs from a name by upper and lower case or by spaces, "" if there is none.
func properZone(name string) string {
	upper := true
	proper := strings.Map(func(r rune) rune {
		if r == ' ' {
			r = '_'
		}
		s := strings.ToLower(string(r))
		if upper {
			s = strings.ToUpper(s)
		}
		upper = r == '/' || r == '_' || r == '-'
		return []rune(s)[0]
	}, name)
	for _, try := range []string{proper, strings.ToUpper(name)} {
		if _, err := time.LoadLocation(try); err == nil && try != "" && try != "LOCAL" && try != "Local" {
			return try
		}
	}
	return ""
}
