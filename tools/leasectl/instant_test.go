package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 11, 3, 14, 5, 0, 0, time.UTC)
	tests := []struct {
		name, text, zone string
		want             string // a time, or a part of the error
	}{
		{"RFC 3339", "2026-11-03T14:05:00+01:00", "UTC", "2026-11-03T13:05:00.000000000Z"},
		{"RFC 3339 with a fraction", "2026-11-03T14:05:00.123456789Z", "UTC", "2026-11-03T14:05:00.123456789Z"},
		{"Unix seconds", "1762178700", "Europe/Vienna", "2025-11-03T14:05:00.000000000Z"},
		{"Unix seconds with a fraction", "1762178700.000000001", "UTC", "2025-11-03T14:05:00.000000001Z"},
		{"now", "now", "UTC", "2026-11-03T14:05:00.000000000Z"},
		{"ago", "-1h30m", "UTC", "2026-11-03T12:35:00.000000000Z"},
		{"local", "2026-11-03 14:05", "Europe/Vienna", "2026-11-03T13:05:00.000000000Z"},
		{"local with seconds", "2026-07-03 14:05:09", "Europe/Vienna", "2026-07-03T12:05:09.000000000Z"},
		{"yesterday", "yesterday 14:05", "UTC", "2026-11-02T14:05:00.000000000Z"},
		{"today elsewhere", "today 01:00", "Pacific/Kiritimati", "2026-11-03T11:00:00.000000000Z"},
		{"local with a fraction", "2026-07-03 14:05:09.5", "Europe/Vienna", "2026-07-03T12:05:09.500000000Z"},
		{"local by an offset", "2026-07-03 14:05", "+05:30", "2026-07-03T08:35:00.000000000Z"},
		{"local by hours", "2026-07-03 14:05", "-03", "2026-07-03T17:05:00.000000000Z"},
		{"spaces around", " now\t", "UTC", "2026-11-03T14:05:00.000000000Z"},
		{"minutes ago", "-90m", "UTC", "2026-11-03T12:35:00.000000000Z"},
		{"days ago", "-3d", "UTC", "2026-10-31T14:05:00.000000000Z"},
		{"days and hours ago", "-1d12h", "UTC", "2026-11-02T02:05:00.000000000Z"},
		{"nothing ago", "-0s", "UTC", "2026-11-03T14:05:00.000000000Z"},
		{"yesterday with seconds", "yesterday 14:05:09", "UTC", "2026-11-02T14:05:09.000000000Z"},
		{"put forward", "2026-03-29 02:30", "Europe/Vienna", "were put forward over it and never showed it; write what is meant: " +
			"2026-03-29T02:30:00+01:00 (2026-03-29T01:30:00.000000000Z) or 2026-03-29T02:30:00+02:00 (2026-03-29T00:30:00.000000000Z)"},
		{"before it", "2026-03-29 01:59:59", "Europe/Vienna", "2026-03-29T00:59:59.000000000Z"},
		{"after it", "2026-03-29 03:00", "Europe/Vienna", "2026-03-29T01:00:00.000000000Z"},
		{"put back", "2026-10-25 02:30", "Europe/Vienna", "showed it twice; write which one is meant: " +
			"2026-10-25T02:30:00+02:00 (2026-10-25T00:30:00.000000000Z) or 2026-10-25T02:30:00+01:00 (2026-10-25T01:30:00.000000000Z)"},
		{"put back by half an hour", "2026-04-05 01:45", "Australia/Lord_Howe", "showed it twice"},
		{"a day that was left out", "2011-12-30 12:00", "Pacific/Apia", "never showed it"},
		{"put back, today", "today 01:30", "America/Havana", "2026-11-03T06:30:00.000000000Z"},
		{"too late", "9999-01-01T00:00:00Z", "UTC", "beyond what a journal can hold"},
		{"too early", "1066-10-14T09:00:00Z", "UTC", "beyond what a journal can hold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := parseZone(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseInstant(tt.text, now, zone)
			text := stamp(got)
			if err != nil {
				text = err.Error()
			}
			_, refused := time.Parse(timeLayout, tt.want)
			if (err == nil) != (refused == nil) || err == nil && text != tt.want || !strings.Contains(text, tt.want) {
				t.Errorf("parseInstant(%q) = %s, want %s", tt.text, text, tt.want)
			}
		})
	}
}

// TestWrongTimes: each usual form of a time that is not taken is refused with what to write instead.
func TestWrongTimes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"word", "noon", "want RFC 3339"},
		{"case of now", "NOW", "write now"},
		{"milliseconds", "1762178700123", "looks like milliseconds: write Unix seconds, 1762178700.123"},
		{"microseconds", "1762178700123456", "looks like microseconds: write Unix seconds, 1762178700.123456"},
		{"nanoseconds", "1762178700123456789", "looks like nanoseconds: write Unix seconds, 1762178700.123456789"},
		{"too many seconds", "99999999999", "no such number of seconds"},
		{"overflow", "99999999999999999999", "no such number of seconds"},
		{"few seconds", "1762", "before 2001 as Unix seconds"},
		{"two points", "1.2.3", "no such number of seconds"},
		{"two points in a time", "1762178700.2.3", "no such number of seconds"},
		{"picoseconds", "1762178700.0000000001", "finer than nanoseconds"},
		{"picoseconds of RFC 3339", "2026-11-03T14:05:00.0000000001Z", "finer than nanoseconds"},
		{"decimal comma", "1762178700,5", `a decimal comma: write "1762178700.5"`},
		{"decimal comma in RFC 3339", "2026-11-03T14:05:00,5Z", `a decimal comma: write "2026-11-03T14:05:00.5Z"`},
		{"decimal comma of a log", "2026-11-03 14:05:00,123", `a decimal comma: write "2026-11-03 14:05:00.123"`},
		{"exponent", "1.7621787e9", "write Unix seconds as a plain number"},
		{"at sign", "@1762178700", "write it without the @: 1762178700"},
		{"a day", "2026-11-03", `a day alone: write "2026-11-03 00:00"`},
		{"a day of digits", "20261103", `a day alone: write "2026-11-03 00:00"`},
		{"a month", "2026-11", "a month alone"},
		{"digits alone", "20261103140509", `write "2026-11-03 14:05:09"`},
		{"no zone", "2026-11-03T14:05:09", `no zone is given: Z is UTC, and a space instead of the T means --tz: write "2026-11-03T14:05:09Z"`},
		{"no zone nor seconds", "2026-11-03T14:05", `write "2026-11-03T14:05:00Z"`},
		{"no seconds", "2026-11-03T14:05+01:00", `RFC 3339 has seconds: write "2026-11-03T14:05:00+01:00"`},
		{"no T", "2026-11-03 14:05:09+01:00", `write "2026-11-03T14:05:09+01:00"`},
		{"no T, with Z", "2026-11-03 14:05:09Z", `write "2026-11-03T14:05:09Z"`},
		{"no T nor seconds", "2026-11-03 14:05Z", `write "2026-11-03T14:05:00Z"`},
		{"lower case", "2026-11-03t14:05:09z", `write "2026-11-03T14:05:09Z"`},
		{"no colon in the offset", "2026-11-03T14:05:09+0100", `write "2026-11-03T14:05:09+01:00"`},
		{"offset of hours", "2026-11-03T14:05:09+01", `write "2026-11-03T14:05:09+01:00"`},
		{"spaces and an offset", "2026-11-03 14:05:09 +0100", `write "2026-11-03T14:05:09+01:00"`},
		{"as Go prints", "2026-11-03 14:05:09.5 +0100 CET", `write "2026-11-03T14:05:09.5+01:00"`},
		{"abbreviation", "2026-11-03 14:05:09 CET", "an abbreviation means several zones"},
		{"compact", "20261103T140509Z", `write "2026-11-03T14:05:09Z"`},
		{"compact without a zone", "20261103T140509", `write "2026-11-03 14:05:09"`},
		{"12 hours", "2026-11-03 2:05 PM", `a clock of 12 hours: write "2026-11-03 14:05"`},
		{"12 hours with seconds", "2026-11-03 02:05:09 p.m.", `a clock of 12 hours: write "2026-11-03 14:05:09"`},
		{"12 hours at midnight", "2026-11-03 12:05am", `a clock of 12 hours: write "2026-11-03 00:05"`},
		{"12 hours alone", "2:05pm", `a clock of 12 hours, and no day: write "yesterday 14:05"`},
		{"an hour", "2pm", `write "yesterday 14:00"`},
		{"clock alone", "14:05", `no day is given: write "today 14:05"`},
		{"clock with seconds alone", "14:05:09", `no day is given: write "today 14:05:09"`},
		{"single digits", "2026-11-3 14:05", `write "2026-11-03 14:05"`},
		{"single digit of the hour", "2026-11-03 4:05", `write "2026-11-03 04:05"`},
		{"slashes", "2026/11/03 14:05:09", `want - between year, month and day: write "2026-11-03 14:05:09"`},
		{"American", "11/03/2026 14:05", "which number is the day and which the month can't be told"},
		{"European", "3.11.2026 14:05", "which number is the day and which the month can't be told"},
		{"web server", "03/Nov/2026:14:05:09 +0100", `write "2026-11-03T14:05:09+01:00"`},
		{"mail", "Tue, 03 Nov 2026 14:05:09 +0100", `write "2026-11-03T14:05:09+01:00"`},
		{"HTTP", "Tue, 03 Nov 2026 14:05:09 GMT", "write an offset, or Z for UTC"},
		{"date", "Tue Nov  3 14:05:09 CET 2026", "write an offset, or Z for UTC"},
		{"C", "Tue Nov  3 14:05:09 2026", `no zone is given: this means --tz: write "2026-11-03 14:05:09"`},
		{"syslog", "Nov  3 14:05:09", "no year is given"},
		{"no such day", "2026-02-30 10:00", "there is no such day"},
		{"no such day in RFC 3339", "2026-02-30T10:00:00Z", "there is no such day"},
		{"no leap year", "2026-02-29 10:00", "there is no such day"},
		{"no such month", "2026-13-01 10:00", "there is no such month"},
		{"no such hour", "2026-11-03 25:00", "there is no such hour"},
		{"no such minute", "2026-11-03 14:61", "there is no such minute"},
		{"no such second", "2026-11-03 14:05:61", "there is no such second"},
		{"no such hour today", "today 25:00", `want "yesterday 14:05"`},
		{"end of a day", "2026-11-03 24:00", "write 00:00 of the next one"},
		{"leap second", "2016-12-31T23:59:60Z", "a leap second"},
		{"no such offset", "2026-11-03T14:05:00+25:00", "time"},
		{"yesterday alone", "yesterday", `write "yesterday 14:05"`},
		{"turned around", "14:05 yesterday", `write "yesterday 14:05"`},
		{"case of yesterday", "Yesterday 14:05", "in lower case"},
		{"tomorrow", "tomorrow 14:05", "the future is not recorded"},
		{"in two hours", "+2h", "the future is not recorded"},
		{"two hours", "2h", "write -2h"},
		{"two hours ago", "2 hours ago", "write -2h"},
		{"minutes ago", "90 min ago", "write -90m"},
		{"days ago", "3 days ago", "write -3d"},
		{"no unit", "-2", "want a duration such as -2h"},
		{"space in a duration", "-2 h", "want a duration such as -2h"},
		{"minus twice", "--2h", "want a duration such as -2h"},
		{"plus and minus", "-+2h", "want a duration such as -2h"},
		{"weeks", "-2w", "want a duration such as -2h"},
		{"days and more than one", "-1d30h", "want a duration such as -2h"},
		{"half a day", "-0.5d", "want a duration such as -2h"},
		{"minus sign", "−2h", "the minus is another character: write -2h"},
		{"comma in a duration", "-1,5h", "want a duration such as -2h"},
		{"zone within", "2026-11-03 14:05 Europe/Vienna", "want RFC 3339"},
		{"control characters", "2026-11-03\n14:05", "want RFC 3339"},
	}
	now := time.Date(2026, 11, 3, 14, 5, 0, 0, time.UTC)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseInstant(tt.text, now, time.UTC)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseInstant(%q) = %s, %v; want %s", tt.text, stamp(got), err, tt.want)
			}
			if usage := new(usageError); !errors.As(err, &usage) {
				t.Errorf("parseInstant(%q): %T, want an error of usage", tt.text, err)
			}
		})
	}
}

// FuzzWrongTimes: what is proposed in quotes is taken, unless a clock never showed it.
func FuzzWrongTimes(f *testing.F) {
	for _, seed := range []string{"2026-11-03", "20261103", "1762178700,5", "2:05pm", "2026-11-03T14:05+01:00", "@17"} {
		f.Add(seed)
	}
	proposed := regexp.MustCompile(`: write ("[^"]*")$`)
	now := time.Date(2026, 11, 3, 14, 5, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parseInstant(text, now, time.UTC)
		if err == nil {
			return
		}
		m := proposed.FindStringSubmatch(err.Error())
		if m == nil || strings.Contains(text, ",") || strings.Contains(text, `"`) {
			return
		}
		write, err := strconv.Unquote(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseInstant(write, now, time.UTC); err != nil && !strings.Contains(err.Error(), "beyond") {
			t.Errorf("%q is refused with %s, and that with %v", text, m[1], err)
		}
	})
}

func TestParseZone(t *testing.T) {
	tests := []struct{ name, zone, want string }{
		{"name", "Europe/Vienna", "+0200"},
		{"UTC", "UTC", "+0000"},
		{"offset", "+05:45", "+0545"},
		{"offset without colon", "-0330", "-0330"},
		{"offset of hours", "+14", "+1400"},
		{"empty", "", "want a name such as"},
		{"this machine's", "Local", "want a name such as"},
		{"nowhere", "Mars/Olympus", "want a name such as Europe/Vienna, an offset such as +02:00, or UTC"},
		{"case", "europe/vienna", "; Europe/Vienna is one"},
		{"space", "America/New York", "; America/New_York is one"},
		{"case of UTC", "utc", "; UTC is one"},
		{"abbreviation", "CEST", "; abbreviations mean several zones"},
		{"too far", "+15:00", "no offset beyond 14 hours"},
		{"too many minutes", "+02:60", "no offset beyond 14 hours"},
		{"no sign", "02:00", "want a name such as"},
		{"one digit", "+2", "want a name such as"},
		{"a path", "../zoneinfo/UTC", "want a name such as"},
	}
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := parseZone(tt.zone)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = at.In(zone).Format("-0700")
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("parseZone(%q): %s, want %s", tt.zone, got, tt.want)
			}
		})
	}
}
