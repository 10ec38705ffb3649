package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// metric is a family of samples in Prometheus' text format.
type metric struct {
	name, kind, help string
	samples          func(*statsItem) []sample
}

// sample is one value of a network, apart from others by at most one label more.
type sample struct {
	label, of string // "" if there is no further label
	value     string
}

// one is the sample of a count that may not be known.
func one[N int | int64 | uint64](n *N) []sample {
	if n == nil {
		return nil
	}
	return []sample{{value: fmt.Sprint(*n)}}
}

func truth(on bool) []sample {
	if on {
		return []sample{{value: "1"}}
	}
	return []sample{{value: "0"}}
}

// when is the sample of a time in nanoseconds, none for 0.
func when(ns int64) []sample {
	if ns == 0 {
		return nil
	}
	return []sample{{value: seconds(ns)}}
}

// seconds prints nanoseconds since 1970 as Prometheus wants times.
func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 3, 64) }

// damaged is how much damage was met: unknown where nothing could be looked at.
func damaged(it *statsItem) []sample {
	n := len(it.Damage)
	if n == 0 && !it.Up {
		return nil
	}
	return one(&n)
}

// by is a sample for each name.
func by(label string, counted map[string]uint64) []sample {
	var all []sample
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		all = append(all, sample{label, name, strconv.FormatUint(counted[name], 10)})
	}
	return all
}

// free is a sample for each range set: an ADD takes an address of each, so that their sum would hide that one is full.
func free(it *statsItem) []sample {
	var all []sample
	for i, n := range it.Free {
		all = append(all, sample{"set", strconv.Itoa(i), n.String()})
	}
	return all
}

// metrics are what is told of a network. Names and labels are fixed, new ones come last.
var metrics = []metric{
	{"leaselog_store_up", "gauge", "Whether it is known what the network holds; 0 if its store is gone or can't be read.",
		func(it *statsItem) []sample { return truth(it.Up) }},
	{"leaselog_damage", "gauge", "Damage that was met, by number of findings. leasectl verify says what it is.",
		damaged},
	{"leaselog_fenced", "gauge", "Whether the disk refused a write that was not undone, so that calls fail.",
		func(it *statsItem) []sample {
			if !it.Up {
				return nil
			}
			return truth(it.Fenced)
		}},
	{"leaselog_held_leases", "gauge", "Leases held by attachments.",
		func(it *statsItem) []sample { return one(it.Held) }},
	{"leaselog_stale_leases", "gauge", "Leases held that were given in an earlier boot of the node.",
		func(it *statsItem) []sample { return one(it.Stale) }},
	{"leaselog_blocked_addresses", "gauge", "Addresses held back without a known owner.",
		func(it *statsItem) []sample { return one(it.Blocked) }},
	{"leaselog_free_addresses", "gauge", "Addresses that can be given, by range set of the newest ADD. An ADD takes one of each set.", free},
	{"leaselog_adds_total", "counter", "ADDs that leased addresses.",
		func(it *statsItem) []sample { return one(it.Adds) }},
	{"leaselog_dels_total", "counter", "DELs, at least: repeated ones are not recorded.",
		func(it *statsItem) []sample { return one(it.Dels) }},
	{"leaselog_releases_total", "counter", "Leases that ended, by reason.",
		func(it *statsItem) []sample { return by("reason", it.Released) }},
	{"leaselog_refused_total", "counter", "ADDs that were refused, by cause, at least: the same within a minute is recorded once.",
		func(it *statsItem) []sample { return by("cause", it.Refused) }},
	{"leaselog_imports_total", "counter", "Leases and blocked addresses that were taken over.",
		func(it *statsItem) []sample { return one(it.Imports) }},
	{"leaselog_journal_bytes", "gauge", "Bytes of all events, in use and archived.",
		func(it *statsItem) []sample { return one(it.JournalBytes) }},
	{"leaselog_last_sequence", "gauge", "Sequence number of the newest event, which is how many there are.",
		func(it *statsItem) []sample { return one(it.LastSeq) }},
	{"leaselog_last_event_timestamp_seconds", "gauge", "When the newest event was recorded, by the clock of then.",
		func(it *statsItem) []sample { return when(it.lastTime) }},
	{"leaselog_store_created_timestamp_seconds", "gauge", "When the journal was begun; counters begin anew with it.",
		func(it *statsItem) []sample { return when(it.created) }},
	{"leaselog_snapshots", "gauge", "Snapshots of the lease map.",
		func(it *statsItem) []sample { return one(it.Snapshots) }},
	{"leaselog_quarantine_files", "gauge", "Files that were set aside.",
		func(it *statsItem) []sample { return one(it.QuarantineFiles) }},
	{"leaselog_quarantine_bytes", "gauge", "Bytes of the files that were set aside.",
		func(it *statsItem) []sample { return one(it.QuarantineBytes) }},
}

// labelText makes a network's name fit for a label's value, which has to be UTF-8. Names are told apart after this.
func labelText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// quote writes a label's value: what the format gives a meaning to is escaped.
var quote = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// writeMetrics writes items, no two of the same network, to a file or to standard output.
func (a *app) writeMetrics(file string, items []statsItem, success bool) error {
	var b bytes.Buffer
	expose(&b, items)
	about := func(name, help, labels, value string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s%s %s\n", name, help, name, name, labels, value)
	}
	about("leaselog_build_info", "The version of leasectl that counted.", fmt.Sprintf("{version=\"%s\"}", quote.Replace(labelText(version))), "1")
	about("leaselog_stats_success", "Whether all stores were counted and none is damaged.", "", truth(success)[0].value)
	about("leaselog_stats_timestamp_seconds", "When this was counted.", "", seconds(a.now.UnixNano()))
	if file == "-" {
		_, err := a.stdout.Write(b.Bytes())
		return err
	}
	return replaceFile(file, b.Bytes(), 0o644)
}

// expose writes each family once, with the samples of all networks.
func expose(w io.Writer, items []statsItem) {
	for _, m := range metrics {
		head := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for i := range items {
			for _, s := range m.samples(&items[i]) {
				fmt.Fprintf(w, "%s%s{%s} %s\n", head, m.name, s.labels(items[i].Network), s.value)
				head = ""
			}
		}
	}
}

// labels are those of the sample of a network.
func (s *sample) labels(network string) string {
	text := fmt.Sprintf("network=\"%s\"", quote.Replace(labelText(network)))
	if s.label != "" {
		text += fmt.Sprintf(",%s=\"%s\"", s.label, quote.Replace(s.of))
	}
	return text
}
