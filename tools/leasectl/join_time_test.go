package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestRowTimes(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, unit, cell string
		want             string // RFC 3339; "" for an error
		err              error
	}{
		{"seconds", "s", "1767225612.345678", "2026-01-01T00:00:12.345678Z", nil},
		{"whole seconds", "s", "0", "1970-01-01T00:00:00Z", nil},
		{"nanoseconds of seconds", "s", "1.123456789000", "1970-01-01T00:00:01.123456789Z", nil},
		{"too fine", "s", "1.1234567891", "", errFine},
		{"milliseconds", "ms", "1767225612345.5", "2026-01-01T00:00:12.3455Z", nil},
		{"microseconds", "us", "1767225612345678", "2026-01-01T00:00:12.345678Z", nil},
		{"nanoseconds", "ns", "1767225612345678901", "2026-01-01T00:00:12.345678901Z", nil},
		{"fraction of a nanosecond", "ns", "1.5", "", errFine},
		{"negative", "s", "-1", "", errNumber},
		{"exponent", "s", "1e9", "", errNumber},
		{"dot alone", "s", ".", "", errNumber},
		{"dot at the end", "s", "1.", "", errNumber},
		{"dot in front", "s", ".5", "", errNumber},
		{"space", "s", " 1", "", errNumber},
		{"far", "s", "9223372037", "", errBeyond},
		{"farther", "s", "99999999999999999999999", "", errBeyond},
		{"empty", "s", "", "", errNoTime},
		{"date as a number", "s", "2026-01-01T00:00:12Z", "", errNumber},
		{"rfc 3339", "rfc3339", "2026-01-01T00:00:12.5Z", "2026-01-01T00:00:12.5Z", nil},
		{"small letters", "rfc3339", "2026-01-01t00:00:12z", "2026-01-01T00:00:12Z", nil},
		{"offset", "rfc3339", "2026-01-01T01:30:12+01:30", "2026-01-01T00:00:12Z", nil},
		{"offset without colon", "rfc3339", "2025-12-31T23:00:12.000001-0100", "2026-01-01T00:00:12.000001Z", nil},
		{"zone of the flag", "rfc3339", "2026-07-01 14:05:09", "2026-07-01T12:05:09Z", nil},
		{"without seconds", "rfc3339", "2026-07-01 14:05", "2026-07-01T12:05:00Z", nil},
		{"leap day", "rfc3339", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", nil},
		{"no leap day", "rfc3339", "2100-02-29T00:00:00Z", "", errNoDay},
		{"no month", "rfc3339", "2026-13-01T00:00:00Z", "", errNoDay},
		{"leap second", "rfc3339", "2016-12-31T23:59:60Z", "", errNoDay},
		{"early", "rfc3339", "1677-12-31T23:59:59Z", "", errBeyond},
		{"comma", "rfc3339", "2026-01-01T00:00:12,5Z", "", errNotTime},
		{"no fraction", "rfc3339", "2026-01-01T00:00:12.Z", "", errNotTime},
		{"rest", "rfc3339", "2026-01-01T00:00:12Zx", "", errNotTime},
		{"date alone", "rfc3339", "2026-01-01", "", errNotTime},
		{"now", "rfc3339", "now", "", errNotTime},
		{"number", "rfc3339", "1767225612", "", errNotTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := rowTimes{unit: tt.unit, zone: vienna}
			for range 2 { // the second time from what is remembered
				ns, err := c.parse([]byte(tt.cell))
				if tt.want == "" {
					if !errors.Is(err, tt.err) {
						t.Errorf("error %v, want %v", err, tt.err)
					}
					continue
				}
				if got := time.Unix(0, ns).UTC().Format(time.RFC3339Nano); err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
			}
		})
	}
	c := rowTimes{unit: "rfc3339", zone: vienna}
	for _, cell := range []string{"2026-03-29 02:30", "2026-10-25 02:30"} {
		if _, err := c.parse([]byte(cell)); err == nil {
			t.Errorf("%s: clocks never showed it, or twice: it is taken", cell)
		}
	}
}

// TestRowTimesAgainstPackageTime: every day of some centuries is the day that package time has.
func TestRowTimesAgainstPackageTime(t *testing.T) {
	c := rowTimes{unit: "rfc3339", zone: time.UTC}
	for day := time.Date(1678, 1, 1, 13, 14, 15, 0, time.UTC); day.Year() < 2262; day = day.AddDate(0, 0, 1) {
		if ns, err := c.parse([]byte(day.Format(time.RFC3339))); err != nil || ns != day.UnixNano() {
			t.Fatalf("%s: %d, %v, want %d", day, ns, err, day.UnixNano())
		}
	}
}

func TestUnitOf(t *testing.T) {
	for cell, want := range map[string]string{"1767225612": "s", "1767225612.345": "s", "1767225612345": "ms", "1767225612345678": "us",
		"1767225612345678901": "ns", "2026-01-01T00:00:12Z": "rfc3339", "2026-01-01 00:00": "rfc3339", "": "", "x": "", ".5": "", "-": ""} {
		if got := unitOf([]byte(cell)); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		}
	}
}

func TestCellAddr(t *testing.T) {
	tests := []struct{ cell, want string }{
		{"10.0.0.2", "10.0.0.2"}, {"0.0.0.0", "0.0.0.0"}, {"255.255.255.255", "255.255.255.255"}, {"::ffff:10.0.0.2", "10.0.0.2"},
		{"FD00::1", "fd00::1"}, {"10.0.0.256", ""}, {"10.0.0", ""}, {"10.0.0.2.3", ""}, {"10.0.0.02", ""}, {"10..0.2", ""}, {"10.0.0.2 ", ""},
		{"10.0.0.2/24", ""}, {"fe80::1%eth0", ""}, {"host", ""}, {"1.2.3.4:80", ""}, {"[::1]", ""}, {".1.2.3", ""}, {"1.2.3.", ""},
	}
	for _, tt := range tests {
		ip, err := cellAddr([]byte(tt.cell))
		if (err != nil) != (tt.want == "") || err == nil && ip != netip.MustParseAddr(tt.want) {
			t.Errorf("%q: %v, %v, want %q", tt.cell, ip, err, tt.want)
		}
	}
}
