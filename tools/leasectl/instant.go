package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --tz works on nodes without a zone database
)

// clockLayouts are the forms of a local time, longest first.
var clockLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseInstant reads a time as people write it: RFC 3339, Unix seconds, a local time
// in zone, "-2h", "now", "yesterday 14:05" or "today 14:05".
func parseInstant(s string, now time.Time, zone *time.Location) (time.Time, error) {
	t, err := instantOf(strings.TrimSpace(s), now, zone)
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
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if strings.HasPrefix(s, "-") {
		d, err := time.ParseDuration(s)
		if err != nil {
			return time.Time{}, errors.New("want a duration like -2h or -30m")
		}
		return now.Add(d), nil
	}
	if strings.Trim(s, "0123456789.") == "" && strings.ContainsAny(s, "0123456789") {
		return unixTime(s)
	}
	for word, days := range map[string]int{"today": 0, "yesterday": -1} {
		if rest, ok := strings.CutPrefix(s, word); ok {
			s = now.In(zone).AddDate(0, 0, days).Format(time.DateOnly) + rest
			break
		}
	}
	for _, layout := range clockLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return local(t, zone)
		}
	}
	return time.Time{}, errors.New(`want RFC 3339, Unix seconds, "2026-11-03 14:05", "yesterday 14:05", "-2h" or "now"`)
}

// unixTime reads seconds since 1970 exactly; a float would lose nanoseconds.
func unixTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec > math.MaxInt64/int64(time.Second) {
		return time.Time{}, errors.New("no such number of seconds")
	}
	if len(fraction) > 9 {
		return time.Time{}, errors.New("finer than nanoseconds")
	}
	ns := 0
	if fraction != "" {
		if ns, err = strconv.Atoi((fraction + "000000000")[:9]); err != nil {
			return time.Time{}, errors.New("no such number of seconds")
		}
	}
	return time.Unix(sec, int64(ns)), nil
}

// local returns the one instant at which clocks in zone show what t shows in UTC. When
// clocks are put back there are two, when they are put forward none: both are refused.
func local(t time.Time, zone *time.Location) (time.Time, error) {
	var found []time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := t.Add(near).In(zone).Zone()
		u := t.Add(-time.Duration(offset) * time.Second)
		same := u.In(zone).Format(time.DateTime) == t.Format(time.DateTime)
		if same && (len(found) == 0 || !found[0].Equal(u)) {
			found = append(found, u)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return time.Time{}, errors.New("clocks in " + zone.String() + " were put forward over it; give it in UTC")
	}
	return time.Time{}, errors.New("clocks in " + zone.String() + " showed it twice: " +
		stamp(found[0]) + " and " + stamp(found[1]))
}

func parseZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || name == "" {
		return nil, usagef("time zone %q: want a name such as Europe/Vienna, or UTC", name)
	}
	return zone, nil
}
