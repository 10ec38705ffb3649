package main

import (
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
		{"a day", "2026-11-03", "UTC", "2026-11-03T00:00:00.000000000Z"},
		{"yesterday", "yesterday 14:05", "UTC", "2026-11-02T14:05:00.000000000Z"},
		{"today elsewhere", "today 01:00", "Pacific/Kiritimati", "2026-11-03T11:00:00.000000000Z"},
		{"put forward", "2026-03-29 02:30", "Europe/Vienna", "were put forward over it"},
		{"before it", "2026-03-29 01:59:59", "Europe/Vienna", "2026-03-29T00:59:59.000000000Z"},
		{"after it", "2026-03-29 03:00", "Europe/Vienna", "2026-03-29T01:00:00.000000000Z"},
		{"put back", "2026-10-25 02:30", "Europe/Vienna", "showed it twice: 2026-10-25T00:30:00.000000000Z and 2026-10-25T01:30:00.000000000Z"},
		{"put back by half an hour", "2026-04-05 01:45", "Australia/Lord_Howe", "showed it twice"},
		{"empty", "", "UTC", "want RFC 3339"},
		{"word", "noon", "UTC", "want RFC 3339"},
		{"no such day", "2026-02-30 10:00", "UTC", "want RFC 3339"},
		{"no duration", "-2", "UTC", "want a duration"},
		{"two points", "1.2.3", "UTC", "no such number of seconds"},
		{"picoseconds", "1.0000000001", "UTC", "finer than nanoseconds"},
		{"overflow", "99999999999", "UTC", "no such number of seconds"},
		{"too late", "9999-01-01T00:00:00Z", "UTC", "beyond what a journal can hold"},
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
			if err == nil && text != tt.want || err != nil && !strings.Contains(text, tt.want) {
				t.Errorf("parseInstant(%q) = %s, want %s", tt.text, text, tt.want)
			}
		})
	}
}
