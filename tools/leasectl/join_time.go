package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// timeUnits are the values of --time-unit.
var timeUnits = []string{"auto", "s", "ms", "us", "ns", "rfc3339"}

// unitNames are the units of numbers with their scale in nanoseconds.
var unitNames = map[string]int64{"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1}

// rowTimes reads the times of rows.
type rowTimes struct {
	unit string // never auto
	zone *time.Location

	minute int64 // of a local time that was understood last, as if it were UTC
	offset int64 // of the zone then, in seconds
	known  bool
}

var (
	errNoTime  = errors.New("no time")
	errNumber  = errors.New("not a number")
	errFine    = errors.New("finer than nanoseconds")
	errBeyond  = errors.New("beyond what a journal can hold")
	errNotTime = errors.New(`want RFC 3339 or "2026-11-03 14:05:09"`)
	errNoDay   = errors.New("no such day or time of day")
)

// parse returns the instant of a cell in nanoseconds since 1970.
func (c *rowTimes) parse(b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, errNoTime
	}
	if scale := unitNames[c.unit]; scale != 0 {
		return parseNumber(b, scale)
	}
	return c.parseText(b)
}

// parseNumber reads a decimal number exactly; a float would lose nanoseconds.
func parseNumber(b []byte, scale int64) (int64, error) {
	whole, fraction, dotted := bytes.Cut(b, []byte("."))
	if len(whole) == 0 || dotted && len(fraction) == 0 {
		return 0, errNumber
	}
	n := int64(0)
	for _, c := range whole {
		if c < '0' || c > '9' {
			return 0, errNumber
		}
		if n > math.MaxInt64/10-1 {
			return 0, errBeyond
		}
		n = n*10 + int64(c-'0')
	}
	if n > math.MaxInt64/scale-1 {
		return 0, errBeyond
	}
	n *= scale
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return 0, errNumber
		}
		if scale /= 10; scale == 0 && c != '0' {
			return 0, errFine
		}
		n += int64(c-'0') * scale
	}
	return n, nil
}

// parseText reads 2026-11-03T14:05:09.123Z, with an offset such as +01:00 or +0100 instead of Z, or with none, in the
// zone of --tz then, with a space instead of the T, and without seconds.
func (c *rowTimes) parseText(b []byte) (int64, error) {
	const minute = "2026-11-03 14:05"
	if len(b) < len(minute) || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != 't' && b[10] != ' ' || b[13] != ':' {
		return 0, errNotTime
	}
	year, ok1 := digits(b[0:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	hour, ok4 := digits(b[11:13])
	min, ok5 := digits(b[14:16])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return 0, errNotTime
	}
	b = b[len(minute):]
	sec, frac := 0, int64(0)
	if len(b) > 0 && b[0] == ':' {
		var err error
		if sec, frac, b, err = secondsOf(b[1:]); err != nil {
			return 0, err
		}
	}
	switch {
	case month < 1 || month > 12 || day < 1 || day > daysIn(year, month), hour > 23 || min > 59 || sec > 59:
		return 0, errNoDay
	case year < 1678 || year > 2261:
		return 0, errBeyond
	}
	wall := daysTo(year, month, day)*86400 + int64(hour*3600+min*60+sec)
	offset, err := c.offsetOf(b, wall)
	return (wall-offset)*1e9 + frac, err
}

// secondsOf reads what follows the minutes: seconds, with a fraction or not.
func secondsOf(b []byte) (sec int, frac int64, rest []byte, err error) {
	if len(b) < 2 {
		return 0, 0, nil, errNotTime
	}
	sec, ok := digits(b[:2])
	if !ok {
		return 0, 0, nil, errNotTime
	}
	if b = b[2:]; len(b) == 0 || b[0] != '.' {
		return sec, 0, b, nil
	}
	scale, i := int64(1e9), 1
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if scale /= 10; scale == 0 && b[i] != '0' {
			return 0, 0, nil, errFine
		}
		frac += int64(b[i]-'0') * scale
	}
	if i == 1 {
		return 0, 0, nil, errNotTime
	}
	return sec, frac, b[i:], nil
}

// offsetOf reads what follows the time of day: the offset from UTC in seconds, or that of the zone at that wall time.
func (c *rowTimes) offsetOf(b []byte, wall int64) (int64, error) {
	switch {
	case len(b) == 0:
		return c.local(wall)
	case len(b) == 1 && (b[0] == 'Z' || b[0] == 'z'):
		return 0, nil
	case len(b) == 6 && b[3] == ':':
		b = append(append(make([]byte, 0, 5), b[:3]...), b[4:]...)
	case len(b) != 5:
		return 0, errNotTime
	}
	hours, ok1 := digits(b[1:3])
	mins, ok2 := digits(b[3:5])
	if !ok1 || !ok2 || hours > 23 || mins > 59 || b[0] != '+' && b[0] != '-' {
		return 0, errNotTime
	}
	offset := int64(hours*3600 + mins*60)
	if b[0] == '-' {
		offset = -offset
	}
	return offset, nil
}

// local returns the offset of the zone when its clocks show wall. Offsets change at full minutes.
func (c *rowTimes) local(wall int64) (int64, error) {
	if c.zone == time.UTC {
		return 0, nil
	}
	if minute := wall / 60; !c.known || minute != c.minute {
		t, err := local(time.Unix(wall, 0).UTC(), c.zone)
		if err != nil {
			return 0, err
		}
		c.minute, c.offset, c.known = minute, wall-t.Unix(), true
	}
	return c.offset, nil
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4, month == 6, month == 9, month == 11:
		return 30
	}
	return 31
}

// daysTo returns the days from 1970-01-01 to a date. Years are counted from March on, so that the leap day is the last.
func daysTo(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}

// unitOf tells the unit of a time from one cell: text, or a number by its digits. It is empty if the cell is neither.
func unitOf(b []byte) string {
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	_, ok := digits(whole)
	_, ok2 := digits(fraction)
	switch n := len(whole); {
	case !ok || !ok2:
		if c := (&rowTimes{zone: time.UTC}); len(b) > 0 {
			if _, err := c.parseText(b); err == nil {
				return "rfc3339"
			}
		}
		return ""
	case n == 0:
		return ""
	case n <= 11: // up to the year 5138
		return "s"
	case n <= 14:
		return "ms"
	case n <= 17:
		return "us"
	}
	return "ns"
}

// sampledRows is how many of the first rows decide what the time's unit is.
const sampledRows = 100

// sampleUnit tells the unit of times from the first rows, which must agree.
func sampleUnit(t joinTable) (string, error) {
	unit, from := "", int64(0)
	var row joinRow
	for range sampledRows {
		if err := t.next(&row); err != nil {
			break // the beginning ends anywhere; whatever is wrong there is met again
		}
		if row.kind != rowData {
			continue
		}
		u, n := unitOf(row.when), t.source().row
		switch {
		case u == "":
		case unit == "":
			unit, from = u, n
		case u != unit:
			return "", usagef("the time of row %d looks like %s, that of row %d like %s: say which by --time-unit", from, unitWords(unit), n, unitWords(u))
		}
	}
	return unit, nil
}

func unitWords(unit string) string {
	return map[string]string{"s": "seconds since 1970", "ms": "milliseconds since 1970", "us": "microseconds since 1970",
		"ns": "nanoseconds since 1970", "rfc3339": "dates and times of day"}[unit]
}

// cellAddr reads an address. The error says what is wrong in a few words.
func cellAddr(b []byte) (netip.Addr, error) {
	if ip, ok := parseIPv4(b); ok {
		return ip, nil
	}
	ip, err := netip.ParseAddr(string(b))
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("no address")
	case ip.Zone() != "":
		return netip.Addr{}, fmt.Errorf("an address with a zone")
	}
	return ip.Unmap(), nil
}

// parseIPv4 is the fast path of cellAddr: what it doesn't take may be an address all the same.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var ip [4]byte
	part, n, size := 0, 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if size > 0 && n == 0 { // a zero in front: not everybody takes that for the same number
				return netip.Addr{}, false
			}
			if n = n*10 + int(c-'0'); n > 255 {
				return netip.Addr{}, false
			}
			size++
		case c == '.' && size > 0 && part < 3:
			ip[part] = byte(n)
			part, n, size = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || size == 0 {
		return netip.Addr{}, false
	}
	ip[3] = byte(n)
	return netip.AddrFrom4(ip), true
}

func isTimeUnit(s string) bool { return slices.Contains(timeUnits, s) }
