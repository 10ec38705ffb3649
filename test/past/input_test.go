package past_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
)

// calm returns a network with a store in which three containers hold an address each, made by the plugin as it is released.
func calm(t *testing.T) caller.Network {
	t.Helper()
	n := networks(t)[0]
	for _, id := range []string{"c1", "c2", "c3"} {
		c := caller.Call{Network: n, Verb: "ADD", ID: id}
		if a, err := c.Run(released); err != nil || !a.OK() {
			t.Fatalf("ADD: %v, %v", a, err)
		}
	}
	return n
}

// understood matches what is said first of a time.
var understood = regexp.MustCompile(`^leasectl: (at|from|since|until) \d{4}-\S+Z( to \S+Z)?$`)

// oneError fails the test unless the answer is one error: nothing on stdout, on stderr one line that names its
// object and the cause, and at most one more as a hint. What times were taken for is said before.
func (s said) oneError(t *testing.T, exit int, words ...string) {
	t.Helper()
	var lines, hints []string
	for line := range strings.Lines(s.stderr) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !strings.HasPrefix(line, "leasectl: "):
			hints = append(hints, line)
		case !understood.MatchString(line):
			lines = append(lines, line)
		}
	}
	if s.exit != exit || s.stdout != "" || len(lines) != 1 || len(hints) > 1 {
		t.Errorf("want exit %d, one line about it, a hint at most, and nothing on stdout: %v", exit, s)
	}
	for _, word := range words {
		if !strings.Contains(s.stderr, word) {
			t.Errorf("want %q: %v", word, s)
		}
	}
}

// usage is leasectl's exit code for what is wrong with the command line, failure for what it could not do.
const (
	usage   = 64
	failure = 4
)

// TestWrongTimes gives every usual wrong form of a time, and one that several clocks showed.
func TestWrongTimes(t *testing.T) {
	n := calm(t)
	for _, test := range []struct{ name, time, want string }{
		{"blank", " ", "empty"},
		{"day alone", "2026-11-03", `"2026-11-03 00:00"`},
		{"no zone", "2026-11-03T14:05:00", `"2026-11-03T14:05:00Z"`},
		{"no seconds", "2026-11-03T14:05Z", `"2026-11-03T14:05:00Z"`},
		{"lower case", "2026-11-03t14:05:00z", `"2026-11-03T14:05:00Z"`},
		{"space and zone", "2026-11-03 14:05:00Z", `"2026-11-03T14:05:00Z"`},
		{"offset without a colon", "2026-11-03T14:05:00+0100", `"2026-11-03T14:05:00+01:00"`},
		{"offset beyond", "2026-11-03T14:05:00+25:00", "offset"},
		{"abbreviation", "2026-11-03 14:05:00 CET", "several zones"},
		{"day before month", "03/11/2026 14:05", "year-month-day"},
		{"of the day alone", "14:05", `"today 14:05"`},
		{"of 12 hours", "2:05 PM", `"yesterday 14:05"`},
		{"yesterday alone", "yesterday", `"yesterday 14:05"`},
		{"tomorrow", "tomorrow 14:05", "future"},
		{"milliseconds", "1793714700000", "1793714700.000"},
		{"microseconds", "1793714700000000", "1793714700.000000"},
		{"nanoseconds", "1793714700000000000", "1793714700.000000000"},
		{"too few digits", "179371470", "before 2001"},
		{"float", "1.7e9", "plain number"},
		{"at sign", "@1793714700", "without the @"},
		{"no such day", "2026-02-30 10:00", "no such day"},
		{"no such month", "2026-13-01 10:00", "no such month"},
		{"24 hours", "2026-11-03 24:00", "00:00 of the next"},
		{"leap second", "2026-11-03T23:59:60Z", "leap second"},
		{"decimal comma", "2026-11-03T14:05:00,5Z", `"2026-11-03T14:05:00.5Z"`},
		{"ten digits of a fraction", "2026-11-03T14:05:00.1234567891Z", "finer than nanoseconds"},
		{"forward", "+2h", "future"},
		{"ago in words", "2h ago", "-2h"},
		{"another minus", "−2h", "-2h"},
		{"weeks", "-2w", "-2h"},
		{"no number", "NaN", "RFC 3339"},
		{"beyond", "9999-01-01T00:00:00Z", "beyond"},
		{"capital", "Now", "write now"},
		{"C library", "Tue Nov  3 14:05:00 2026", `"2026-11-03 14:05:00"`},
		{"mail", "Tue, 03 Nov 2026 14:05:00 +0100", `"2026-11-03T14:05:00+01:00"`},
		{"web server", "03/Nov/2026:14:05:00 +0100", `"2026-11-03T14:05:00+01:00"`},
		{"digits alone", "20261103140500", `"2026-11-03 14:05:00"`},
		{"ISO week", "2026-W45-2", "RFC 3339"},
		{"words behind", "2026-11-03T14:05:00Z; rm", "RFC 3339"},
		{"escapes", "\x1b[31m2026-11-03\a", `\x1b[31m`},
		{"never shown", "2026-03-29 02:30", "never showed it"},
		{"shown twice", "2026-10-25 02:30", "showed it twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			where := []string{"--data-dir", n.DataDir, "--tz", "Europe/Vienna"}
			for _, args := range [][]string{
				{"who", "10.66.0.2", "--at", test.time}, {"at", test.time}, {"diff", test.time, "now"},
				{"history", "--ip", "10.66.0.2", "--since", test.time}, {"events", "--until", test.time},
			} {
				if args[0] == "events" && strings.Trim(test.time, "0123456789") == "" && len(test.time) < 10 {
					continue // a sequence number
				}
				ask(t, nil, append(args, where...)...).oneError(t, usage, test.want)
			}
		})
	}
}

// TestWrongWords gives everything else on the command line that people get wrong.
func TestWrongWords(t *testing.T) {
	n := calm(t)
	for _, test := range []struct {
		name string
		args []string
		exit int
		want []string
	}{
		{"zone of an interface", []string{"who", "fe80::1%eth0"}, usage, []string{"fe80::1%eth0", "zone"}},
		{"prefix", []string{"who", "10.66.0.2/27"}, usage, []string{"10.66.0.2/27", "prefix"}},
		{"port", []string{"who", "10.66.0.2:80"}, usage, []string{"10.66.0.2:80"}},
		{"brackets", []string{"who", "[fd66::2]"}, usage, []string{"[fd66::2]"}},
		{"three numbers", []string{"who", "10.66.0"}, usage, []string{`"10.66.0"`}},
		{"leading zero", []string{"who", "010.66.0.2"}, usage, []string{"010.66.0.2"}},
		{"256", []string{"who", "10.66.0.256"}, usage, []string{"10.66.0.256"}},
		{"number", []string{"who", "0x0a420002"}, usage, []string{"0x0a420002"}},
		{"name", []string{"who", "c1"}, usage, []string{"c1"}},
		{"empty address", []string{"who", ""}, usage, []string{"address"}},
		{"escapes in an address", []string{"who", "\x1b[2J"}, usage, []string{`\x1b[2J`}},
		{"no address", []string{"who"}, usage, []string{"ADDRESS"}},
		{"two addresses", []string{"who", "10.66.0.2", "10.66.0.3"}, usage, []string{"one ADDRESS"}},
		{"zone of an interface, history", []string{"history", "--ip", "fe80::1%eth0"}, usage, []string{"fe80::1%eth0"}},
		{"prefix, history", []string{"history", "--ip", "10.66.0.2/27"}, usage, []string{"10.66.0.2/27"}},
		{"address as prefix", []string{"history", "--cidr", "10.66.0.2"}, usage, []string{"10.66.0.2"}},
		{"prefix too long", []string{"history", "--cidr", "10.66.0.0/33"}, usage, []string{"10.66.0.0/33"}},
		{"mapped prefix", []string{"history", "--cidr", "::ffff:10.66.0.0/123"}, usage, []string{"IPv4"}},
		{"pod without its namespace", []string{"history", "--pod", "web-0"}, usage, []string{"web-0", "namespace"}},
		{"history of nothing", []string{"history"}, usage, []string{"--ip"}},
		{"history of two things", []string{"history", "--ip", "10.66.0.2", "--container", "c1"}, usage, []string{"exclude"}},
		{"until before since", []string{"history", "--ip", "10.66.0.2", "--since", "now", "--until", "-1h"}, usage, []string{"before"}},
		{"unknown kind", []string{"events", "--kind", "added"}, usage, []string{"added", "add"}},
		{"event 0", []string{"events", "--since", "0"}, usage, []string{"from 1 on"}},
		{"empty container", []string{"events", "--container", ""}, usage, []string{"--container"}},
		{"negative skew", []string{"who", "10.66.0.2", "--skew", "-1s"}, usage, []string{"negative"}},
		{"skew without a unit", []string{"who", "10.66.0.2", "--skew", "5"}, usage, []string{"--skew", "unit"}},
		{"skew of a year", []string{"who", "10.66.0.2", "--skew", "8766h"}, usage, []string{"at most"}},
		{"one time", []string{"diff", "now"}, usage, []string{"two times"}},
		{"times in the wrong order", []string{"diff", "now", "-1h"}, usage, []string{"before the first"}},
		{"no time", []string{"at"}, usage, []string{"TIME"}},
		{"abbreviated time zone", []string{"who", "10.66.0.2", "--tz", "CEST"}, usage, []string{"CEST"}},
		{"time zone beyond", []string{"who", "10.66.0.2", "--tz", "+99:00"}, usage, []string{"+99:00"}},
		{"time zone of the machine", []string{"who", "10.66.0.2", "--tz", "Local"}, usage, []string{"Local"}},
		{"format", []string{"who", "10.66.0.2", "-o", "xml"}, usage, []string{"xml", "json"}},
		{"command", []string{"whois", "10.66.0.2"}, usage, []string{"whois"}},
		{"flag", []string{"who", "10.66.0.2", "--time", "now"}, usage, []string{"--time"}},
		{"empty folder name", []string{"who", "10.66.0.2", "--data-dir", ""}, usage, []string{"--data-dir"}},
		{"unknown network, who", []string{"who", "10.66.0.2", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, at", []string{"at", "now", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, diff", []string{"diff", "-1h", "now", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, history", []string{"history", "--ip", "10.66.0.2", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, events", []string{"events", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, leases", []string{"leases", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, stats", []string{"stats", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
		{"unknown network, verify", []string{"verify", "--network", "smal"}, failure, []string{`"smal"`, "small"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if !slices.Contains(args, "--data-dir") {
				args = append(slices.Clone(args), "--data-dir", n.DataDir)
			}
			ask(t, nil, args...).oneError(t, test.exit, test.want...)
		})
	}
}

// TestAnswersToOdd is about what looks wrong and has an answer.
func TestAnswersToOdd(t *testing.T) {
	n := calm(t)
	for _, test := range []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"outside of all ranges", []string{"who", "192.0.2.1"}, 1, "not ours"},
		{"of the other family", []string{"who", "fd66::2"}, 1, "not ours"},
		{"gateway", []string{"who", "10.66.0.1"}, 1, "gateway"},
		{"mapped", []string{"who", "::ffff:10.66.0.2"}, 0, "c1"},
		{"before the first event", []string{"who", "10.66.0.2", "--at", "-1h"}, 3, "unknown"},
		{"in the future", []string{"who", "10.66.0.2", "--at", "2261-01-01 00:00"}, 3, "unknown"},
		{"container that never was", []string{"history", "--container", "c9"}, 1, ""},
		{"pod that never was", []string{"history", "--pod", "default/web-0"}, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ask(t, nil, append(test.args, "--data-dir", n.DataDir)...)
			if s.exit != test.exit || !strings.Contains(s.stdout, test.want) {
				t.Errorf("want exit %d and %q: %v", test.exit, test.want, s)
			}
		})
	}
}

// questions are one of each kind about a data folder.
func questions() [][]string {
	return [][]string{
		{"who", "10.66.0.2"}, {"at", "now"}, {"diff", "-1s", "now"}, {"history", "--ip", "10.66.0.2"}, {"history", "--container", "c1"},
		{"events"}, {"leases"}, {"networks"}, {"stats"}, {"verify"},
	}
}

// TestNoStore asks where there is nothing to ask, or nothing that may be read.
func TestNoStore(t *testing.T) {
	none := map[string]int{"leases": 0, "networks": 0, "stats": 0} // an empty list is an answer
	for _, test := range []struct {
		name  string
		make  func(t *testing.T) (dataDir string)
		other bool // ask as another user
		empty bool // there is a folder, without a store
		want  string
	}{
		{name: "file", make: func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(path, []byte("no folder"), 0o600))
			return path
		}, want: "not a directory"},
		{name: "missing", make: func(t *testing.T) string { return filepath.Join(t.TempDir(), "missing") }, want: "no such file"},
		{name: "empty", make: func(t *testing.T) string { return t.TempDir() }, empty: true, want: "no network has a store"},
		{name: "of another user", make: func(t *testing.T) string { return opened(t, calm(t).DataDir) }, other: true, want: "permission denied"},
		{name: "mode 0", make: func(t *testing.T) string {
			n := calm(t)
			must(t, os.Chmod(opened(t, n.DataDir), 0))
			return n.DataDir
		}, other: true, want: "permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.other && os.Geteuid() != 0 {
				t.Skip("needs root: another user is asked for")
			}
			dataDir := test.make(t)
			for _, args := range questions() {
				s := asUser(t, test.other, append(args, "--data-dir", dataDir)...)
				if exit, ok := none[args[0]]; ok && test.empty {
					if s.exit != exit || !strings.Contains(s.stderr, test.want) {
						t.Errorf("want exit %d and %q: %v", exit, test.want, s)
					}
					continue
				}
				s.oneError(t, failure, test.want, dataDir)
			}
		})
	}
}

// opened lets other users come as far as the data folder, and returns it.
func opened(t *testing.T, dataDir string) string {
	t.Helper()
	must(t, os.Chmod(filepath.Dir(dataDir), 0o755))
	must(t, os.Chmod(filepath.Dir(filepath.Dir(dataDir)), 0o755))
	return dataDir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asUser runs leasectl, perhaps as a user with no rights.
func asUser(t *testing.T, other bool, args ...string) said {
	t.Helper()
	if !other {
		return ask(t, nil, args...)
	}
	return askAs(t, &syscall.Credential{Uid: 65534, Gid: 65534}, nil, args...)
}
