package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// wrongTime is a usual form of a time that is not taken, and how what it says is written instead.
type wrongTime struct {
	layout string
	why    string
	write  string // layout of what to write; "" if it can't be told
}

const withZone = "not in the form of RFC 3339"

var wrongTimes = []wrongTime{
	{"2006-01-02", "a day alone", "2006-01-02 00:00"},
	{"2006-01-02T15:04:05", "no zone is given: Z is UTC, and a space instead of the T means --tz", "2006-01-02T15:04:05Z"},
	{"2006-01-02T15:04", "no zone is given: Z is UTC, and a space instead of the T means --tz", "2006-01-02T15:04:05Z"},
	{"2006-01-02T15:04Z07:00", "RFC 3339 has seconds", time.RFC3339Nano},
	{time.RFC3339, withZone, time.RFC3339Nano},
	{"2006-01-02T15:04:05Z0700", withZone, time.RFC3339Nano},
	{"2006-01-02T15:04:05Z07", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04:05Z07:00", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04Z07:00", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04:05 Z07:00", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04:05 -0700", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04:05 -0700 MST", withZone, time.RFC3339Nano},
	{"2006-01-02 15:04:05 MST", "an abbreviation means several zones: write an offset, or Z for UTC", "2006-01-02T15:04:05Z"},
	{"20060102T150405Z0700", withZone, time.RFC3339Nano},
	{"20060102T150405", "no zone is given: Z is UTC, and this means --tz", clockSeconds},
	{"2006-01-02 3:04:05 PM", "a clock of 12 hours", clockSeconds},
	{"2006-01-02 3:04:05PM", "a clock of 12 hours", clockSeconds},
	{"2006-01-02 3:04 PM", "a clock of 12 hours", clockMinutes},
	{"2006-01-02 3:04PM", "a clock of 12 hours", clockMinutes},
	{"3:04 PM", "a clock of 12 hours, and no day", "yesterday 15:04"},
	{"3:04PM", "a clock of 12 hours, and no day", "yesterday 15:04"},
	{"3PM", "a clock of 12 hours, and no day", "yesterday 15:04"},
	{"15:04:05", "no day is given", "today 15:04:05"},
	{"15:04", "no day is given", "today 15:04"},
	{"2006-1-2 15:04:05", "month, day and hour have two digits", clockSeconds},
	{"2006-1-2 15:04", "month, day and hour have two digits", clockMinutes},
	{"2006/1/2 15:04:05", "want - between year, month and day", clockSeconds},
	{"2006/1/2 15:04", "want - between year, month and day", clockMinutes},
	{"02/Jan/2006:15:04:05 -0700", withZone, time.RFC3339Nano},
	{time.RFC1123Z, withZone, time.RFC3339Nano},
	{time.RFC1123, "an abbreviation means several zones: write an offset, or Z for UTC", "2006-01-02T15:04:05Z"},
	{time.UnixDate, "an abbreviation means several zones: write an offset, or Z for UTC", "2006-01-02T15:04:05Z"},
	{time.ANSIC, "no zone is given: this means --tz", clockSeconds},
	{time.Stamp, "no year is given", ""},
	{"2006-01", "a month alone", ""},
}

// saidWrong are forms that no layout tells; $1 and so on are parts of what was given.
var saidWrong = []struct{ form, say string }{
	{`^$`, "it is empty"},
	{`^@(\d+(?:\.\d+)?)$`, "write it without the @: $1"},
	{`^(\d{1,2})[/.](\d{1,2})[/.](\d{2,4})\b.*`, `which number is the day and which the month can't be told: write year-month-day, "2026-11-03 14:05"`},
	{`^\+.*`, "the future is not recorded; -2h is two hours ago"},
	{`^[−–—](.*)$`, "the minus is another character: write -$1"},
	{`^(\d+) ?(?:h|hr|hrs|hours?)(?: ago)?$`, "write -${1}h for that long ago"},
	{`^(\d+) ?(?:m|min|mins|minutes?)(?: ago)?$`, "write -${1}m for that long ago"},
	{`^(\d+) ?(?:d|days?)(?: ago)?$`, "write -${1}d for that long ago"},
	{`^(\d+) ?(?:s|sec|secs|seconds?)(?: ago)?$`, "write -${1}s for that long ago"},
	{`^(today|yesterday)$`, `no time of the day is given: write "$1 14:05"`},
	{`^(\d\d:\d\d(?::\d\d)?) (today|yesterday)$`, `write "$2 $1"`},
	{`^tomorrow\b.*`, "the future is not recorded"},
	{`^(?i:now)$`, "write now"},
	{`^(?i:(today|yesterday) .*)$`, `want "yesterday 14:05", in lower case and of 24 hours`},
	{`^(.*\d)[ T]24:00(?::00)?\D*$`, "a day ends before 24:00: write 00:00 of the next one"},
	{`^.*:\d\d:60(?:\D.*)?$`, "a leap second: clocks show :59 or :00 of the next minute"},
	{`^\d+(?:\.\d+)?[eE]\+?\d+$`, "write Unix seconds as a plain number"},
}

// refused says why a text is not taken for a time, and what to write instead.
func refused(s string) error {
	if at := decimalComma.FindStringIndex(s); at != nil {
		return fmt.Errorf("a decimal comma: write %q", s[:at[0]+1]+"."+s[at[1]-1:])
	}
	text := twelveHours.ReplaceAllStringFunc(s, func(half string) string {
		return strings.ToUpper(strings.ReplaceAll(half, ".", ""))
	})
	if isoDate.MatchString(s) {
		text = strings.ToUpper(s)
	}
	beyond := "" // a part that there is not
	for _, w := range wrongTimes {
		t, err := time.Parse(w.layout, text)
		switch {
		case err == nil && w.write == "":
			return errors.New(w.why)
		case err == nil:
			if w.write != time.RFC3339Nano {
				t = t.UTC() // as it was given: of "GMT+2", Parse has added the hours
			}
			return fmt.Errorf("%s: write %q", w.why, t.Format(w.write))
		}
		if p := new(time.ParseError); errors.As(err, &p) && strings.HasPrefix(w.layout, "2006-") && !strings.Contains(w.layout, "PM") {
			if part, ok := strings.CutSuffix(p.Message, " out of range"); ok {
				beyond = strings.TrimPrefix(part, ": ")
			}
		}
	}
	if said := matchSaid(s); said != "" {
		return errors.New(said)
	}
	if beyond != "" {
		return fmt.Errorf("there is no such %s", beyond)
	}
	return errors.New(`want RFC 3339, Unix seconds, "2026-11-03 14:05", "yesterday 14:05", "-2h" or "now"`)
}

var (
	decimalComma = regexp.MustCompile(`\d,\d`)
	twelveHours  = regexp.MustCompile(`\d ?(?i:[ap]\.?m\.?)$`)
	isoDate      = regexp.MustCompile(`^\d{4}-\d\d-\d\d[tT]`)
)

func matchSaid(s string) string {
	for _, w := range saidWrong {
		form := regexp.MustCompile(w.form)
		if m := form.FindStringSubmatchIndex(s); m != nil {
			return string(form.ExpandString(nil, w.say, s, m))
		}
	}
	return ""
}
