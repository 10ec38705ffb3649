package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// instantsTable is what times and zones mean; the page of leasectl report, which has a parser of its own, is tested by it, too.
type instantsTable struct {
	Now   time.Time
	Times []struct{ Name, Text, Zone, Want string } // Zone "" is UTC
	Wrong []struct{ Name, Text, Want string }
	Zones []struct{ Name, Zone, Want string }
}

func readInstants(t *testing.T) (table instantsTable) {
	data, err := os.ReadFile("testdata/instants.json")
	if err == nil {
		err = json.Unmarshal(data, &table)
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestParseInstant(t *testing.T) {
	table := readInstants(t)
	for _, tt := range table.Times {
		t.Run(tt.Name, func(t *testing.T) {
			zone, err := parseZone(cmp.Or(tt.Zone, "UTC"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseInstant(tt.Text, table.Now, zone)
			text := stamp(got)
			if err != nil {
				text = err.Error()
			}
			if text != tt.Want {
				t.Errorf("parseInstant(%q) = %s, want %s", tt.Text, text, tt.Want)
			}
		})
	}
}

// TestWrongTimes: each usual form of a time that is not taken is refused with what to write instead.
func TestWrongTimes(t *testing.T) {
	table := readInstants(t)
	for _, tt := range table.Wrong {
		t.Run(tt.Name, func(t *testing.T) {
			got, err := parseInstant(tt.Text, table.Now, time.UTC)
			if err == nil || err.Error() != tt.Want {
				t.Errorf("parseInstant(%q) = %s, %v; want %s", tt.Text, stamp(got), err, tt.Want)
			}
			if usage := new(usageError); !errors.As(err, &usage) {
				t.Errorf("parseInstant(%q): %T, want an error of usage", tt.Text, err)
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
	at := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range readInstants(t).Zones {
		t.Run(tt.Name, func(t *testing.T) {
			zone, err := parseZone(tt.Zone)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = at.In(zone).Format("-0700")
			}
			if got != tt.Want {
				t.Errorf("parseZone(%q): %s, want %s", tt.Zone, got, tt.Want)
			}
		})
	}
}
