package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// useWindow is the window of stats as given and as understood. It is not asked about if since is zero.
type useWindow struct {
	window
	last string // a duration before now
}

func (w *useWindow) flags(cmd *cobra.Command) {
	w.window.flags(cmd, "`time`")
	cmd.Flags().StringVar(&w.last, "window", "", "also tell how addresses were used in the last `duration`, such as 24h or 7d")
}

// parse understands the window. It is bounded on both sides: until now if nothing else is said.
func (w *useWindow) parse(a *app) error {
	switch {
	case w.last != "" && (w.sinceText != "" || w.untilText != ""):
		return usagef("--window is the time before now: leave it out with --since and --until")
	case w.last == "" && w.sinceText == "" && w.untilText == "":
		return nil
	case w.last == "" && w.sinceText == "":
		return usagef("--until wants --since")
	case w.last != "":
		w.sinceText = "-" + strings.TrimPrefix(strings.TrimPrefix(w.last, "now"), "-")
		if since, err := ago(w.sinceText, a.now); err != nil || !since.Before(a.now) {
			return usagef("--window %q: want a duration such as 24h, 90m or 7d", w.last)
		}
	}
	if err := w.window.parse(a); err != nil {
		return err
	}
	if w.until.IsZero() {
		w.until = a.now
	}
	if w.until.Before(w.since) {
		return usagef("--since is after now")
	}
	return nil
}

func (w *useWindow) asked() bool { return !w.since.IsZero() }

// useItem is how addresses were used in a window. What is not known is null.
type useItem struct {
	Since       string            `json:"since"`
	Until       string            `json:"until"`
	From        string            `json:"covered_from"` // the part of it that the journal covers; "" if it covers none
	To          string            `json:"covered_to"`
	Peak        *int              `json:"peak"` // most leases held at once, blocked addresses aside
	PeakAt      *pointItem        `json:"peak_at"`
	Adds        *uint64           `json:"adds"` // these are at least what happened
	AddsPerHour *float64          `json:"adds_per_hour"`
	Dels        *uint64           `json:"dels"`
	DelsPerHour *float64          `json:"dels_per_hour"`
	Released    map[string]uint64 `json:"released"`
	Refused     map[string]uint64 `json:"refused"`
	Reuse       *reuseItem        `json:"reuse"`
	Longest     *holdItem         `json:"longest_held"`

	use *replay.Use
}

// reuseItem are the times from the end of a lease to the ADD that gave its address next.
type reuseItem struct {
	Count      uint64     `json:"count"`
	MedianNS   *int64     `json:"median_ns"` // rounded down to one part in 1024
	ShortestNS *int64     `json:"shortest_ns"`
	IP         string     `json:"ip,omitempty"` // of the shortest
	End        *pointItem `json:"end,omitempty"`
	Start      *pointItem `json:"start,omitempty"`
	Negative   uint64     `json:"negative"`  // left out: by the clocks the address was given before it was given back
	Uncertain  uint64     `json:"uncertain"` // left out: shorter than the error of the clocks, or these were not synchronised
}

// holdItem is the lease that was held longest.
type holdItem struct {
	IP          string     `json:"ip"`
	ContainerID string     `json:"container_id"`
	IfName      string     `json:"ifname"`
	Pod         podItem    `json:"pod"`
	Start       pointItem  `json:"start"`
	End         *pointItem `json:"end"` // null while it is held
	ForNS       int64      `json:"for_ns"`
	Certainty   string     `json:"certainty"` // of how long
}

// measure tells how the store's addresses were used in the window. What can't be told is said in the answer.
func (a *app) measure(s *store, ans *answer, w *useWindow) (*useItem, error) {
	it := &useItem{Since: stamp(w.since), Until: stamp(w.until)}
	if s.broken != nil || s.reader == nil {
		return it, nil // why was said
	}
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	covered := s.covered(a.now)
	clocks, err := replay.ClocksOf(past)
	var u replay.Use
	if err == nil {
		u, err = replay.Measure(past, clocks, replay.Asked{From: w.since, To: w.until, Covered: covered}, s.wiped)
	}
	if err != nil && !unreadable(err) {
		return nil, err
	}
	if err != nil {
		ans.doubt(replay.Unknown, "%s: how addresses were used is unknown: %v", s.title(), err)
		return it, nil
	}
	a.doubtUse(s, ans, &u, w)
	it.describe(&u)
	return it, it.owner(past, &u)
}

// doubtUse says which part of the window the figures are not of.
func (a *app) doubtUse(s *store, ans *answer, u *replay.Use, w *useWindow) {
	switch {
	case u.From.IsZero():
		ans.doubt(replay.Unknown, "%s: the journal tells nothing of the time from %s to %s", s.title(), stamp(w.since), stamp(w.until))
	case w.since.Before(u.From) && w.until.After(u.To):
		ans.doubt(replay.Uncertain, "%s: the figures are of the time from %s to %s: the journal tells nothing before and after",
			s.title(), stamp(u.From), stamp(u.To))
	case w.since.Before(u.From):
		ans.doubt(replay.Uncertain, "%s: the figures are of the time from %s on: %s", s.title(), stamp(u.From), s.before())
	case w.until.After(u.To):
		ans.doubt(replay.Uncertain, "%s: the figures are of the time up to %s: the journal tells nothing after", s.title(), stamp(u.To))
	}
	if n := u.Reuses.Negative; n > 0 {
		ans.doubt(replay.Certain,
			"%s: %d addresses were given again before they were given back, by clocks that were set: left out of reuse", s.title(), n)
	}
	if n := u.Reuses.Pruned; n > 0 {
		ans.doubt(replay.Uncertain, "%s: whether %d addresses had been given back before they were given is not known: what was before was pruned, left out of reuse",
			s.title(), n)
	}
	if n := u.Reuses.Uncertain; n > 0 {
		ans.doubt(replay.Certain, "%s: how soon %d addresses were given again is within the error of the clocks, or these were not synchronised: left out of reuse",
			s.title(), n)
	}
}

// before says why the journal tells nothing before a time.
func (s *store) before() string {
	if gone := s.pruned(); gone != nil {
		return fmt.Sprintf("events %d to %d were %v", gone.First, gone.Last, gone.Cause)
	}
	return "the journal begins there"
}

// describe fills in what was measured.
func (it *useItem) describe(u *replay.Use) {
	if u.From.IsZero() {
		return
	}
	at := newPoint(u.PeakAt)
	it.use = u
	it.From, it.To, it.Peak, it.PeakAt = stamp(u.From), stamp(u.To), &u.Peak, &at
	it.Adds, it.Dels = &u.Adds, &u.Dels
	it.AddsPerHour, it.DelsPerHour = perHour(u.Adds, u), perHour(u.Dels, u)
	it.Released, it.Refused = byReason(u.Released), byCause(u.Refused)
	it.Reuse = &reuseItem{Count: u.Reuses.Count, Negative: u.Reuses.Negative, Uncertain: u.Reuses.Uncertain}
	if s := u.Reuses.Shortest; s != nil {
		median, shortest := int64(u.Reuses.Median), int64(s.After)
		end, start := newPoint(s.End), newPoint(s.Start)
		it.Reuse.MedianNS, it.Reuse.ShortestNS = &median, &shortest
		it.Reuse.IP, it.Reuse.End, it.Reuse.Start = s.IP.String(), &end, &start
	}
	if l := u.Longest; l != nil {
		it.Longest = &holdItem{IP: l.IP.String(), Start: newPoint(l.Start), ForNS: int64(l.For), Certainty: replay.Certain.String()}
		if !l.Sure {
			it.Longest.Certainty = replay.Uncertain.String()
		}
		if l.End != nil {
			end := newPoint(*l.End)
			it.Longest.End = &end
		}
	}
}

// owner names whose lease was held longest.
func (it *useItem) owner(past *archive.Reader, u *replay.Use) error {
	if it.Longest == nil {
		return nil
	}
	ev, ok, err := eventAt(past, u.Longest.Start.Seq)
	if ok {
		it.Longest.ContainerID, it.Longest.IfName, it.Longest.Pod = ev.ContainerID, ev.IfName, podItem(ev.Pod)
	}
	return err
}

// perHour is a rate over the part of the window that is covered; nil if that has no length.
func perHour(n uint64, u *replay.Use) *float64 {
	hours := u.To.Sub(u.From).Hours()
	if hours <= 0 {
		return nil
	}
	rate := float64(n) / hours
	return &rate
}

func rateText(rate *float64) string {
	if rate == nil {
		return replay.Unknown.String()
	}
	return fmt.Sprintf("%.1f", *rate)
}

// lagText is the text of a duration that is not there where nothing was counted.
func (it *useItem) lagText(of func(*reuseItem) *int64) string {
	if it.Reuse == nil {
		return replay.Unknown.String()
	}
	if ns := of(it.Reuse); ns != nil {
		return roughly(time.Duration(*ns))
	}
	return ""
}

// roughly leaves out digits that nobody reads.
func roughly(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= 100*unit {
			return d.Round(unit).String()
		}
	}
	return d.String()
}

func (it *useItem) longestText() string {
	switch {
	case it.use == nil:
		return replay.Unknown.String()
	case it.Longest == nil:
		return ""
	}
	return it.Longest.IP + " " + roughly(time.Duration(it.Longest.ForNS))
}

// refusedText is the text of the refusals by cause.
func (it *useItem) refusedText() string {
	if it.Refused == nil {
		return replay.Unknown.String()
	}
	var texts []string
	for _, cause := range slices.Sorted(maps.Keys(it.Refused)) {
		if n := it.Refused[cause]; n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", n, cause))
		}
	}
	return cmp.Or(strings.Join(texts, ", "), "0")
}

// nanoseconds is the text of a duration, "" for nil.
func nanoseconds(ns *int64) string {
	if ns == nil {
		return ""
	}
	return fmt.Sprint(*ns)
}

// useTable are the columns of a network's figures for a window.
var useTable = []column[statsItem]{
	{"network", func(it *statsItem) string { return it.Network }},
	{"held", func(it *statsItem) string { return unknownText(it.Held) }},
	{"free", func(it *statsItem) string { return sumText(it.Free) }},
	{"capacity", func(it *statsItem) string { return sumText(it.Capacity) }},
	{"peak", func(it *statsItem) string { return unknownText(it.Use.Peak) }},
	{"adds", func(it *statsItem) string { return unknownText(it.Use.Adds) }},
	{"adds/h", func(it *statsItem) string { return rateText(it.Use.AddsPerHour) }},
	{"dels", func(it *statsItem) string { return unknownText(it.Use.Dels) }},
	{"dels/h", func(it *statsItem) string { return rateText(it.Use.DelsPerHour) }},
	{"reuse median", func(it *statsItem) string { return it.Use.lagText(func(r *reuseItem) *int64 { return r.MedianNS }) }},
	{"reuse shortest", func(it *statsItem) string { return it.Use.lagText(func(r *reuseItem) *int64 { return r.ShortestNS }) }},
	{"longest held", func(it *statsItem) string { return it.Use.longestText() }},
	{"refused at least", func(it *statsItem) string { return it.Use.refusedText() }},
}

// useColumns are those of a window, behind those of statsCSV; their order is fixed, new ones come last.
func useColumns() []column[statsItem] {
	use := func(name string, cell func(*useItem) string) column[statsItem] {
		return column[statsItem]{name, func(it *statsItem) string { return cell(it.Use) }}
	}
	reuse := func(cell func(*reuseItem) string) func(*useItem) string {
		return func(it *useItem) string {
			if it.Reuse == nil {
				return replay.Unknown.String()
			}
			return cell(it.Reuse)
		}
	}
	longest := func(cell func(*holdItem) string) func(*useItem) string {
		return func(it *useItem) string {
			if it.use == nil {
				return replay.Unknown.String()
			}
			if it.Longest == nil {
				return ""
			}
			return cell(it.Longest)
		}
	}
	columns := []column[statsItem]{
		use("since", func(it *useItem) string { return it.Since }),
		use("until", func(it *useItem) string { return it.Until }),
		use("covered_from", func(it *useItem) string { return it.From }),
		use("covered_to", func(it *useItem) string { return it.To }),
		use("window_peak", func(it *useItem) string { return unknownText(it.Peak) }),
		use("window_adds", func(it *useItem) string { return unknownText(it.Adds) }),
		use("window_dels", func(it *useItem) string { return unknownText(it.Dels) }),
		use("reuse_count", reuse(func(r *reuseItem) string { return fmt.Sprint(r.Count) })),
		use("reuse_median_ns", reuse(func(r *reuseItem) string { return nanoseconds(r.MedianNS) })),
		use("reuse_shortest_ns", reuse(func(r *reuseItem) string { return nanoseconds(r.ShortestNS) })),
		use("reuse_negative", reuse(func(r *reuseItem) string { return fmt.Sprint(r.Negative) })),
		use("reuse_uncertain", reuse(func(r *reuseItem) string { return fmt.Sprint(r.Uncertain) })),
		use("longest_ip", longest(func(h *holdItem) string { return h.IP })),
		use("longest_container_id", longest(func(h *holdItem) string { return h.ContainerID })),
		use("longest_ns", longest(func(h *holdItem) string { return fmt.Sprint(h.ForNS) })),
	}
	for code := allocator.CodeExhausted; code <= allocator.CodeNotAvailable; code++ {
		name := causes[code]
		columns = append(columns, use("window_refused_"+name, func(it *useItem) string { return named(it.Refused, name) }))
	}
	return columns
}
