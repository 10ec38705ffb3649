package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Retention bounds how much history is kept. Zero values are no bound; the zero Retention keeps everything. Where there
// are several bounds, what exceeds any of them may go.
type Retention struct {
	Keep   time.Duration // events younger than this are kept
	Events uint64        // so many of the newest events are kept
	Bytes  int64         // as many of the newest events are kept as take so much room on the disk
}

// units of an age, beside those of time.ParseDuration.
var ageUnits = []struct {
	suffix string
	length time.Duration
}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}}

// ParseAge reads how long to keep events: whole days or weeks such as "180d" or "26w", or a duration such as "72h".
func ParseAge(s string) (time.Duration, error) {
	for _, u := range ageUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		if n, err := parseCount(digits); err == nil && n <= uint64(math.MaxInt64/u.length) {
			return time.Duration(n) * u.length, nil
		}
		return 0, notAnAge(s)
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || strings.HasPrefix(s, "+") {
		return 0, notAnAge(s)
	}
	return d, nil
}

func notAnAge(s string) error {
	return fmt.Errorf("%.64q: want a time such as \"180d\", \"26w\" or \"72h\", above 0 and below 292 years", s)
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a number of bytes such as "10GiB", "500MB" or "1048576".
func ParseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = rest, u.bytes
			break
		}
	}
	n, err := parseCount(digits)
	if err != nil || n > uint64(math.MaxInt64/unit) {
		return 0, fmt.Errorf("%.64q: want a size such as \"10GiB\" or \"500MB\", above 0", s)
	}
	return int64(n) * unit, nil
}

// parseCount reads a number above 0, without a sign.
func parseCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return n, err
}

// String returns the bounds as "180d, 1000000 events, 10GiB", or "everything".
func (r Retention) String() string {
	var parts []string
	if r.Keep > 0 {
		parts = append(parts, formatAge(r.Keep))
	}
	if r.Events > 0 {
		parts = append(parts, strconv.FormatUint(r.Events, 10)+" events")
	}
	if r.Bytes > 0 {
		parts = append(parts, formatSize(r.Bytes))
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

func formatAge(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// formatSize uses the largest unit that says it exactly.
func formatSize(n int64) string {
	best := sizeUnits[len(sizeUnits)-1]
	for _, u := range sizeUnits {
		if n%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return strconv.FormatInt(n/best.bytes, 10) + best.suffix
}

// UnmarshalJSON reads the object that a network's configuration has under "retention". Keys that it doesn't know are an
// error: a bound that is misspelt must not be taken for none.
func (r *Retention) UnmarshalJSON(b []byte) error {
	*r = Retention{}
	var bounds map[string]json.RawMessage
	if json.Unmarshal(b, &bounds) != nil {
		return notARetention(b)
	}
	for _, key := range []string{"keep", "keepEvents", "keepBytes"} {
		raw, ok := bounds[key]
		if !ok {
			continue
		}
		delete(bounds, key)
		text := string(raw)
		if key != "keepEvents" && json.Unmarshal(raw, &text) != nil {
			return notARetention(b)
		}
		var err error
		switch key {
		case "keep":
			r.Keep, err = ParseAge(text)
		case "keepEvents":
			if r.Events, err = parseCount(text); err != nil {
				err = errors.New(text + ": want a number above 0")
			}
		case "keepBytes":
			r.Bytes, err = ParseSize(text)
		}
		if err != nil {
			return fmt.Errorf("%s %w", key, err)
		}
	}
	if len(bounds) > 0 {
		return notARetention(b)
	}
	return nil
}

func notARetention(b []byte) error {
	return fmt.Errorf("%.128s: want an object such as {\"keep\": \"180d\", \"keepEvents\": 1000000, \"keepBytes\": \"10GiB\"}, with no other keys", b)
}
