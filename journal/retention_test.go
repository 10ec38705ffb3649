package journal_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"180d": 180 * day, "26w": 182 * day, "72h": 72 * time.Hour, "1h30m": 90 * time.Minute, "106751d": 106751 * day, "1s": time.Second,
		"": 0, "0d": 0, "0": 0, "180": 0, "-1d": 0, "+1d": 0, "1.5d": 0, "d": 0, "w": 0, "1d12h": 0, "106752d": 0, "99999999999999999999d": 0, "-2h": 0,
		"+2h": 0, "180 d": 0, "180D": 0, "1y": 0, "15251w": 0, "0h": 0,
	} {
		got, err := journal.ParseAge(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %s, %v, want %s", s, got, err, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"10GiB": 10 << 30, "500MB": 500e6, "1048576": 1 << 20, "1B": 1, "3kB": 3000, "2KiB": 2048, "7TB": 7e12, "1TiB": 1 << 40, "5GB": 5e9, "4MiB": 4 << 20,
		"9223372036854775807": math.MaxInt64, "8388607TiB": 8388607 << 40,
		"": 0, "0": 0, "0GiB": 0, "GiB": 0, "-1": 0, "+1": 0, "1.5GiB": 0, "10 GiB": 0, "10gib": 0, "10G": 0, "9223372036854775808": 0, "8388608TiB": 0, "1BB": 0,
	} {
		got, err := journal.ParseSize(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestRetentionText(t *testing.T) {
	for want, r := range map[string]journal.Retention{
		"everything":           {},
		"180d":                 {Keep: 180 * 24 * time.Hour},
		"1h30m0s":              {Keep: 90 * time.Minute},
		"1000000 events":       {Events: 1e6},
		"10GiB":                {Bytes: 10 << 30},
		"500MB":                {Bytes: 500e6},
		"1025B":                {Bytes: 1025},
		"2d, 1 events, 3KiB":   {Keep: 48 * time.Hour, Events: 1, Bytes: 3 << 10},
		"9223372036854775807B": {Bytes: math.MaxInt64},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRetentionJSON(t *testing.T) {
	for text, want := range map[string]journal.Retention{
		`{}`:                {},
		`{"keep":"180d"}`:   {Keep: 180 * 24 * time.Hour},
		`{"keepEvents":12}`: {Events: 12},
		`{"keep":"2w","keepEvents":5,"keepBytes":"1MiB"}`: {Keep: 14 * 24 * time.Hour, Events: 5, Bytes: 1 << 20},
	} {
		var got journal.Retention
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"keep":"180"}`:        `keep "180": want a time such as "180d", "26w" or "72h", above 0 and below 292 years`,
		`{"keepevent":1}`:       `{"keepevent":1}: want an object such as {"keep": "180d", "keepEvents": 1000000, "keepBytes": "10GiB"}, with no other keys`,
		`{"keepEvents":0}`:      `keepEvents 0: want a number above 0`,
		`{"keepBytes":"10GiX"}`: `keepBytes "10GiX": want a size such as "10GiB" or "500MB", above 0`,
	} {
		r := journal.Retention{Events: 7}
		if err := json.Unmarshal([]byte(text), &r); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{`"180d"`, `[]`, `180`, `{"keepEvents":-1}`, `{"keepEvents":1.5}`, `{"keepBytes":10}`, `{"keep":180}`} {
		var r journal.Retention
		if err := json.Unmarshal([]byte(text), &r); err == nil {
			t.Errorf("%s: accepted as %v", text, r)
		}
	}
}
