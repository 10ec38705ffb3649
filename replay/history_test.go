package replay_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

var (
	boot1 = journal.BootID{1}
	boot2 = journal.BootID{2}
	addrA = netip.MustParseAddr("10.0.0.2")
	addrB = netip.MustParseAddr("10.0.0.3")
)

const epoch = int64(1_700_000_000e9)

// at is a synchronised clock, sec seconds into the first boot.
func at(sec int64) journal.Clock {
	return journal.Clock{Wall: epoch + sec*1e9, BootTime: sec * 1e9, Boot: boot1, Synchronised: true, MaxError: time.Millisecond}
}

func inBoot2(c journal.Clock) journal.Clock {
	c.Boot = boot2
	return c
}

// unsynced is a clock that nothing disciplines and that is off.
func unsynced(c journal.Clock, off time.Duration) journal.Clock {
	c.Synchronised = false
	c.Wall += int64(off)
	return c
}

func instant(sec int64) time.Time { return at(sec).Time() }

func event(kind journal.Kind, c journal.Clock, id string, ips ...netip.Addr) journal.Event {
	ev := journal.Event{Kind: kind, Clock: c, ContainerID: id}
	if id != "" {
		ev.IfName = "eth0"
	}
	for _, ip := range ips {
		ev.Addresses = append(ev.Addresses, journal.Address{IP: ip, Bits: 24})
	}
	return ev
}

func ended(ev journal.Event, why journal.Reason) journal.Event {
	ev.Reason = why
	return ev
}

// journalOf numbers events behind a genesis at second 0.
func journalOf(events ...journal.Event) []journal.Event {
	all := append([]journal.Event{event(journal.KindGenesis, at(0), "")}, events...)
	for i := range all {
		all[i].Seq = journal.Seq(i + 1)
	}
	return all
}

func read(t *testing.T, events []journal.Event, o replay.Options) *replay.History {
	t.Helper()
	h, err := replay.Read(records(events, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWindowStart(t *testing.T) {
	add := event(journal.KindAdd, at(10), "a", addrA)
	other := event(journal.KindAdd, at(11), "b", addrB)
	gcOther := func(sec int64) journal.Event {
		return ended(event(journal.KindDel, at(sec), "b", addrB), journal.ReasonGC)
	}
	del := func(c journal.Clock, why journal.Reason) journal.Event {
		return ended(event(journal.KindDel, c, "a", addrA), why)
	}
	reset := func(c journal.Clock) journal.Event {
		return ended(event(journal.KindReset, c, ""), journal.ReasonWiped)
	}
	byHand := ended(event(journal.KindRelease, at(500), "a", addrA), journal.ReasonGC)
	tests := []struct {
		name   string
		events []journal.Event
		window journal.Seq
		doubt  string
	}{
		{"gc by an operator", journalOf(add, byHand), 2, "an operator's GC found the owner dead"},
		{"gc by an operator after a run", journalOf(add, other, gcOther(20), byHand), 4, "an operator's GC found the owner dead"},
		{"del", journalOf(add, del(at(20), journal.ReasonDel)), 3, ""},
		{"gc that no other run spared", journalOf(add, del(at(20), journal.ReasonGC)), 2, "GC ended the lease"},
		{"gc after a run that spared it", journalOf(add, other, gcOther(20), del(at(500), journal.ReasonGC)), 4, "GC ended the lease"},
		{"gc in the same run", journalOf(add, other, gcOther(20), del(at(21), journal.ReasonGC)), 2, "GC ended the lease"},
		{"force while a run may go on", journalOf(add, other, gcOther(20), del(at(21), journal.ReasonForce)), 2, "did not end the lease (force)"},
		{"force after a run", journalOf(add, other, gcOther(20), del(at(500), journal.ReasonForce)), 4, "did not end the lease (force)"},
		{"wiped", journalOf(add, other, reset(at(30))), 3, "deleted at some time after"},
		{"reboot", journalOf(add, other, del(inBoot2(at(1)), journal.ReasonReboot)), 3, "had booted when the lease was ended (reboot)"},
		{"del after a boot", journalOf(add, other, gcOther(12), del(inBoot2(at(1)), journal.ReasonDel)), 4, "had booted when the lease was ended (del)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := read(t, tt.events, replay.Options{Keep: func(l *state.Lease) bool { return l.IP == addrA }})
			if len(h.Intervals) != 1 || h.Intervals[0].End == nil {
				t.Fatalf("got %+v, want one interval with an end", h.Intervals)
			}
			iv := h.Intervals[0]
			if iv.End.Window.Seq != tt.window {
				t.Errorf("window starts at event %d, want %d", iv.End.Window.Seq, tt.window)
			}
			if certain := iv.Certainty == replay.Certain; certain != (tt.doubt == "") {
				t.Errorf("certainty is %s, doubt wanted: %q", iv.Certainty, tt.doubt)
			}
			if text := strings.Join(iv.Doubts, "\n"); !strings.Contains(text, tt.doubt) || tt.doubt == "" && text != "" {
				t.Errorf("doubts are %q, want %q", text, tt.doubt)
			}
		})
	}
}

// TestEndText: what an operator or a rule says of a release, and only that.
func TestEndText(t *testing.T) {
	release := func(kind journal.Kind, text string, attributes ...journal.Attribute) journal.Event {
		ev := ended(event(kind, at(20), "a", addrA), journal.ReasonForce)
		ev.Text, ev.Attributes = text, attributes
		return ev
	}
	evidence := journal.Attribute{Key: "evidence", Value: "boot"}
	tests := []struct {
		name string
		end  journal.Event
		want string
	}{
		{"words", release(journal.KindRelease, "host replaced"), "host replaced"},
		{"words before evidence", release(journal.KindRelease, "host replaced", evidence), "host replaced"},
		{"evidence alone", release(journal.KindRelease, "", evidence), "boot"},
		{"neither", release(journal.KindRelease, ""), ""},
		{"of a del", release(journal.KindDel, "words", evidence), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := read(t, journalOf(event(journal.KindAdd, at(10), "a", addrA), tt.end), replay.Options{})
			if got := h.Intervals[0].End.Text; got != tt.want {
				t.Errorf("text of the end %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	add := event(journal.KindAdd, at(10), "a", addrA)
	imported := event(journal.KindImport, at(10), "a", addrA)
	imported.Claimed = epoch - 5e9
	blocked := event(journal.KindImport, at(10), "", addrA)
	blocked.Blocked = true
	damage := &journal.CorruptionError{File: "f", Seq: 3, Offset: 7, Cause: errors.New("rot")}
	type heldTest struct {
		name      string
		events    []journal.Event
		err       error
		wiped     bool
		certainty replay.Certainty
		doubt     string
	}
	tests := []heldTest{
		{name: "held", events: journalOf(add)},
		{name: "wiped", events: journalOf(add), wiped: true, certainty: replay.Uncertain, doubt: "data folder was deleted since"},
		{name: "older boot", events: journalOf(add, event(journal.KindAdd, inBoot2(at(1)), "b", addrB)),
			certainty: replay.Uncertain, doubt: "the node has booted since"},
		{name: "damage", events: journalOf(add), err: damage, certainty: replay.Unknown, doubt: "stopped after event 2"},
		{name: "newer event", events: journalOf(add, journal.Event{Kind: 50, Clock: at(11)}), certainty: replay.Unknown, doubt: "its end is not known"},
		{name: "impossible event", events: journalOf(add, event(journal.KindAdd, at(11), "b", addrA)),
			certainty: replay.Unknown, doubt: "its end is not known"},
		{name: "event that may be skipped", events: journalOf(add, journal.Event{Kind: 70, Clock: at(11)})},
		{name: "import", events: journalOf(imported), doubt: "began at 2023-11-14T22:13:15.000000000Z by the word of its source"},
		{name: "blocked", events: journalOf(blocked), certainty: replay.Uncertain, doubt: "held back without a known owner"},
		{name: "unsynchronised clock", events: journalOf(event(journal.KindAdd, unsynced(inBoot2(at(1)), 0), "a", addrA)),
			doubt: "never synchronised in its boot"},
		{name: "clock set later", events: journalOf(event(journal.KindAdd, unsynced(at(10), time.Hour), "a", addrA),
			event(journal.KindAdd, at(11), "b", addrB)), doubt: "its clock was off by 1h0m0s"},
	}
	annotated := event(journal.KindAnnotate, at(11), "a", addrA)
	annotated.NetNS, annotated.NetNSID = "/run/netns/later", journal.NetNSID{Inode: 7, Made: 8}
	podOnly := event(journal.KindAnnotate, at(12), "a", addrA)
	podOnly.Pod = journal.Pod{Namespace: "ns", Name: "later"}
	podOnly.Attributes = []journal.Attribute{{Key: journal.AttributeSource, Value: "cni-cache"}}
	nothing := event(journal.KindAnnotate, at(13), "a", addrA)
	tests = append(tests, []heldTest{
		{name: "annotated", events: journalOf(add, annotated), doubt: "netns was added by event 3, from a source that is not named"},
		{name: "pod annotated", events: journalOf(add, podOnly), doubt: "pod was added by event 3, from cni-cache"},
		{name: "annotated twice", events: journalOf(add, annotated, podOnly),
			doubt: "netns was added by event 3, from a source that is not named\npod was added by event 4, from cni-cache"},
		{name: "annotated with nothing", events: journalOf(add, nothing)},
	}...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := replay.Read(records(tt.events, tt.err), replay.Options{Wiped: tt.wiped, HeldOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			iv := h.Intervals[0]
			if iv.End != nil || iv.Certainty != tt.certainty {
				t.Errorf("end %v, certainty %s, want no end and %s", iv.End, iv.Certainty, tt.certainty)
			}
			if text := strings.Join(iv.Doubts, "\n"); !strings.Contains(text, tt.doubt) || tt.doubt == "" && text != "" {
				t.Errorf("doubts are %q, want %q", text, tt.doubt)
			}
			if stopped := tt.certainty == replay.Unknown; stopped != (h.Stopped != nil) {
				t.Errorf("Stopped is %v", h.Stopped)
			}
		})
	}
}

func TestReadFails(t *testing.T) {
	cause := errors.New("permission denied")
	if _, err := replay.Read(records(journalOf(), cause), replay.Options{}); !errors.Is(err, cause) {
		t.Errorf("Read: %v, want %v", err, cause)
	}
}

func TestImpossibleEventIsLocated(t *testing.T) {
	h := read(t, journalOf(event(journal.KindDel, at(1), "a", addrA)), replay.Options{})
	var damage *journal.CorruptionError
	if !errors.As(h.Stopped, &damage) || damage.File == "" || damage.Seq != 2 || damage.Offset != 1 {
		t.Errorf("Stopped is %#v, want damage with file, event 2 and offset 1", h.Stopped)
	}
}

// A del with a field that every version up to its own has to understand may release
// something that this version doesn't see.
func TestUnknownFieldStops(t *testing.T) {
	id := journal.ID{1}
	events := journalOf(event(journal.KindAdd, at(1), "a", addrA), event(journal.KindDel, at(2), "a", addrA))
	raw, err := journal.AppendRecord(nil, id, &events[2])
	if err != nil {
		t.Fatal(err)
	}
	const trailer, body = 6, 96 // bytes of the checksum and sentinel; place of the body's map
	raw = append(raw[:len(raw)-trailer], 40, 1)
	raw[body]++
	seed := binary.BigEndian.AppendUint64(id[:], 3)
	crc := crc32.Checksum(append(seed, raw...), crc32.MakeTable(crc32.Castagnoli))
	raw = append(binary.BigEndian.AppendUint32(append(raw, 0xce), crc), 0x5a)
	if events[2], err = journal.DecodeRecord(id, 3, raw); err != nil {
		t.Fatal(err)
	}
	h := read(t, events, replay.Options{})
	if !errors.Is(h.Stopped, journal.ErrNewer) || h.Last.Seq != 2 {
		t.Errorf("Stopped is %v after event %d, want ErrNewer after event 2", h.Stopped, h.Last.Seq)
	}
}

func TestBrokenChainStops(t *testing.T) {
	events := journalOf(event(journal.KindAdd, at(1), "a", addrA), event(journal.KindAdd, at(2), "b", addrB))
	for _, broken := range []int{0, 2} {
		h, err := replay.Read(chained(t, events, broken), replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var damage *journal.CorruptionError
		if stopped := errors.As(h.Stopped, &damage); stopped != (broken > 0) || stopped && damage.Seq != 3 {
			t.Errorf("broken before event %d: Stopped is %v", broken+1, h.Stopped)
		}
	}
}

// chained hands out records with their bytes, each naming the hash of the one before,
// but for the one at broken.
func chained(t *testing.T, events []journal.Event, broken int) iter.Seq2[journal.Record, error] {
	t.Helper()
	var all []journal.Record
	for i, ev := range events {
		if i > 0 && i != broken {
			ev.Prev = journal.RecordHash(all[i-1].Raw)
		}
		raw, err := journal.AppendRecord(nil, journal.ID{1}, &ev)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, journal.Record{Event: ev, File: "f", Raw: raw})
	}
	return func(yield func(journal.Record, error) bool) {
		for _, rec := range all {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func TestBetween(t *testing.T) {
	history := journalOf(
		event(journal.KindAdd, at(10), "a", addrA),
		ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonDel),
		event(journal.KindAdd, at(30), "b", addrA),
		ended(event(journal.KindDel, at(40), "b", addrA), journal.ReasonGC),
		event(journal.KindAdd, at(50), "c", addrA),
	)
	var open time.Time
	tests := []struct {
		name         string
		since, until time.Time
		ids          string
		certainty    replay.Certainty
		doubt        string
	}{
		{"all", open, open, "a b c", replay.Uncertain, ""},
		{"from the end on", instant(20).Add(time.Second), instant(29), "", replay.Certain, ""},
		{"one instant", instant(15), instant(15), "a", replay.Certain, ""},
		{"end within the clock's error", instant(20), instant(25), "a", replay.Uncertain, ""},
		{"start within the clock's error", instant(25), instant(30).Add(-time.Microsecond), "b", replay.Uncertain, ""},
		{"uncertain use", instant(35), instant(36), "b", replay.Uncertain, ""},
		{"still held", instant(51), open, "c", replay.Certain, ""},
		{"before genesis", instant(-10), instant(-5), "", replay.Unknown, "begins at 2023-11-14T22:13:20.000000000Z"},
		{"partly before genesis", instant(-10), instant(15), "a", replay.Unknown, "begins at"},
		{"after what is covered", instant(70), open, "c", replay.Unknown, "nothing after"},
		{"partly after", instant(15), instant(70), "a b c", replay.Unknown, "nothing after"},
	}
	h := read(t, history, replay.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.Between(tt.since, tt.until, instant(60))
			var ids []string
			for _, iv := range a.Intervals {
				ids = append(ids, iv.Lease.ContainerID)
			}
			if got := strings.Join(ids, " "); got != tt.ids || a.Certainty != tt.certainty {
				t.Errorf("got %q, %s; want %q, %s", got, a.Certainty, tt.ids, tt.certainty)
			}
			if text := strings.Join(a.Doubts, "\n"); !strings.Contains(text, tt.doubt) || tt.doubt == "" && text != "" {
				t.Errorf("doubts are %q, want %q", text, tt.doubt)
			}
		})
	}
}

// The clock was an hour fast when the lease was given and taken, and was set afterwards.
func TestBetweenByRecordedTime(t *testing.T) {
	h := read(t, journalOf(
		event(journal.KindAdd, unsynced(at(10), time.Hour), "a", addrA),
		ended(event(journal.KindDel, unsynced(at(20), time.Hour), "a", addrA), journal.ReasonDel),
		event(journal.KindRefuse, at(7200), "x"),
	), replay.Options{})
	tests := []struct {
		name      string
		at        int64
		found     int
		certainty replay.Certainty
	}{
		{"by effective time alone", 15, 1, replay.Uncertain},
		{"by recorded time alone", 3615, 1, replay.Uncertain},
		{"by neither", 1800, 0, replay.Certain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.Between(instant(tt.at), instant(tt.at), time.Time{})
			if len(a.Intervals) != tt.found || a.Certainty != tt.certainty {
				t.Errorf("got %d intervals, %s; want %d, %s", len(a.Intervals), a.Certainty, tt.found, tt.certainty)
			}
		})
	}
}

func TestBetweenNamesSteps(t *testing.T) {
	h := read(t, journalOf(
		event(journal.KindAdd, at(10), "a", addrA),
		event(journal.KindRefuse, unsynced(at(12), 9*time.Millisecond), "x"),
		event(journal.KindRefuse, unsynced(at(13), -3*time.Second), "x"),
		event(journal.KindRefuse, unsynced(at(14), -3*time.Second), "x"),
		ended(event(journal.KindDel, at(20), "a", addrA), journal.ReasonDel),
	), replay.Options{})
	want := []string{"the clock was set by -3s before event 4", "the clock was set by 3s before event 6"}
	if a := h.Between(time.Time{}, time.Time{}, time.Time{}); !slices.Equal(a.Doubts, want) {
		t.Errorf("doubts are %q, want %q", a.Doubts, want)
	}
}

func TestBetweenAfterDamage(t *testing.T) {
	h, err := replay.Read(records(journalOf(), &journal.CorruptionError{File: "f", Offset: 7, Cause: errors.New("rot")}), replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := h.Between(time.Time{}, time.Time{}, instant(60))
	if a.Certainty != replay.Unknown || len(a.Doubts) != 1 || !strings.Contains(a.Doubts[0], "f: damage at byte 7: rot") {
		t.Errorf("got %s, %q; want unknown and the damage", a.Certainty, a.Doubts)
	}
}

// readLosing reads events of which some are lost, with snapshots behind others, some of which are spoilt behind their headers.
func readLosing(t *testing.T, events []journal.Event, lost, snapshots []journal.Seq, spoilt ...journal.Seq) *replay.History {
	t.Helper()
	st, dir := state.New(), t.TempDir()
	var o replay.Options
	for i := range events {
		if err := st.Apply(&events[i]); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(snapshots, events[i].Seq) {
			continue
		}
		path, err := state.WriteSnapshot(dir, journal.ID{1}, "net0", st)
		if err != nil {
			t.Fatal(err)
		}
		snap, err := state.OpenSnapshot(path, journal.ID{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { snap.Close() })
		if slices.Contains(spoilt, events[i].Seq) {
			b, err := os.ReadFile(path)
			if err == nil {
				for at := 4096; at < len(b); at++ {
					b[at] ^= 1
				}
				err = os.WriteFile(path, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		o.Snapshots = append(o.Snapshots, replay.Snapshot{Snapshot: snap, File: "snap"})
	}
	h, err := replay.ReadPieces(func(yield func(journal.Piece, error) bool) {
		for _, ev := range events {
			p := journal.Piece{Record: journal.Record{Event: ev}}
			if slices.Contains(lost, ev.Seq) {
				p = journal.Piece{Loss: &journal.Loss{First: ev.Seq, Last: ev.Seq, Cause: errors.New("rot")}}
			}
			if !yield(p, nil) {
				return
			}
		}
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSpoiltSnapshot: a snapshot of which not all can be read is told, and all else is answered as without it.
func TestSpoiltSnapshot(t *testing.T) {
	events := journalOf(event(journal.KindAdd, at(10), "a", addrA), event(journal.KindAdd, at(20), "b", addrB), event(journal.KindRefuse, at(30), "x"),
		event(journal.KindRefuse, at(40), "x"), event(journal.KindRefuse, at(50), "x"), ended(event(journal.KindDel, at(60), "a", addrA), journal.ReasonDel))
	for _, tc := range []struct {
		name            string
		lost, snapshots []journal.Seq // the last one of these is spoilt
	}{
		{"behind the gap", []journal.Seq{3}, []journal.Seq{5}},
		{"at the end of the gap", []journal.Seq{3, 4}, []journal.Seq{4}},
		{"within the gap", []journal.Seq{3, 4, 5}, []journal.Seq{3, 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			last := len(tc.snapshots) - 1
			h, without := readLosing(t, events, tc.lost, tc.snapshots, tc.snapshots[last]), readLosing(t, events, tc.lost, tc.snapshots[:last])
			if h.Stopped != nil {
				t.Fatalf("reading stopped: %v", h.Stopped)
			}
			for sec := int64(5); sec < 70; sec += 10 {
				for _, ip := range []netip.Addr{addrA, addrB} {
					q := replay.Asked{From: instant(sec), To: instant(sec), Covered: instant(70)}
					got, want := h.Who(ip, q), without.Who(ip, q)
					n := len(got.Doubts)
					got.Doubts = slices.DeleteFunc(got.Doubts, func(d string) bool { return strings.HasPrefix(d, "a snapshot is of no use: ") })
					if len(got.Doubts) != n-1 || got.State != want.State || got.Certainty != want.Certainty || !slices.Equal(got.Doubts, want.Doubts) {
						t.Errorf("%s at %d s: got %s, %s, %q, want %s, %s, %q, and the snapshot told", ip, sec, got.State, got.Certainty, got.Doubts,
							want.State, want.Certainty, want.Doubts)
					}
				}
			}
		})
	}
}

// TestBetweenInGap: all from the ADD to the DEL was at one instant, of which a snapshot tells that the lease was held. That is as
// certain where the ADD is lost, too.
func TestBetweenInGap(t *testing.T) {
	exact := at(20)
	exact.MaxError = 0
	events := journalOf(event(journal.KindAdd, exact, "a", addrA), event(journal.KindRefuse, exact, "x"),
		ended(event(journal.KindDel, exact, "a", addrA), journal.ReasonDel))
	for _, lost := range [][]journal.Seq{{3}, {2, 3}} {
		h := readLosing(t, events, lost, []journal.Seq{3})
		if a := h.Of(addrA).Between(instant(20), time.Time{}, time.Time{}); len(a.Intervals) != 1 || a.Certainty != replay.Certain {
			t.Errorf("events %v lost: got %d intervals, %s, %q; want one, certain", lost, len(a.Intervals), a.Certainty, a.Doubts)
		}
	}
}

// TestBetweenWithinGap: what was then is lost, but not that the lease was held, which no error of a clock makes doubtful.
func TestBetweenWithinGap(t *testing.T) {
	events := journalOf(event(journal.KindRefuse, at(1), "x"), event(journal.KindRefuse, at(19), "x"), event(journal.KindAdd, at(20), "a", addrA),
		event(journal.KindRefuse, at(40), "x"), ended(event(journal.KindDel, at(60), "a", addrA), journal.ReasonDel))
	a := readLosing(t, events, []journal.Seq{3, 4}, []journal.Seq{4}).Between(instant(22), instant(38), time.Time{})
	want := []string{"its beginning is known from snap: the event that gave it is lost"}
	if a.Certainty != replay.Unknown || len(a.Intervals) != 1 || !slices.Equal(a.Intervals[0].Doubts, want) {
		t.Errorf("got %s, %+v; want unknown, and an interval of which is said %q", a.Certainty, a.Intervals, want)
	}
}

// TestGivenAgainInGap: a lease that the event behind a gap seems to go on with was given anew within it, as a later snapshot
// shows. It was held as long as anything shows it.
func TestGivenAgainInGap(t *testing.T) {
	events := journalOf(event(journal.KindAdd, at(10), "a", addrA), event(journal.KindRefuse, at(11), "x"),
		ended(event(journal.KindDel, at(12), "a", addrA), journal.ReasonDel), event(journal.KindAdd, at(13), "a", addrA),
		event(journal.KindAnnotate, at(14), "a", addrA))
	for _, tt := range []struct {
		name      string
		snapshots []journal.Seq
		last      journal.Seq
	}{
		{"nothing shows it in the gap", []journal.Seq{6}, 2},
		{"a snapshot shows it in the gap", []journal.Seq{3, 6}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ivs := readLosing(t, events, []journal.Seq{3, 4, 5}, tt.snapshots).Intervals
			if len(ivs) != 2 || ivs[0].Start.Seq != 2 || !ivs[0].Lost() || ivs[0].LastSeq != tt.last || ivs[1].Start.Seq != 5 || ivs[1].Lost() {
				t.Errorf("got %+v, want one from event 2 that nothing shows after event %d, and one from event 5", ivs, tt.last)
			}
		})
	}
}

func TestMayHold(t *testing.T) {
	config := event(journal.KindConfig, at(1), "")
	config.Ranges = [][]journal.Range{{{Start: addrA, End: addrA}}}
	known := event(journal.KindAdd, at(2), "a", addrA)
	known.Config = 2
	hidden := event(journal.KindAdd, at(2), "a", addrA)
	own := event(journal.KindAdd, at(2), "a", addrB)
	own.Ranges = [][]journal.Range{{{Start: addrB, End: addrB}}}
	tests := []struct {
		name   string
		events []journal.Event
		a, b   bool
	}{
		{"no range recorded", journalOf(), true, true},
		{"static range", journalOf(config, known), true, false},
		{"ranges of a call", journalOf(config, own), true, true},
		{"an ADD without ranges", journalOf(config, hidden), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := read(t, tt.events, replay.Options{})
			if a, b := h.MayHold(addrA), h.MayHold(addrB); a != tt.a || b != tt.b {
				t.Errorf("MayHold: %s %v, %s %v; want %v, %v", addrA, a, addrB, b, tt.a, tt.b)
			}
		})
	}
}

func ExampleRead() {
	h, err := replay.Read(records(journalOf(
		event(journal.KindAdd, at(10), "c1", addrA),
		ended(event(journal.KindDel, at(20), "c1", addrA), journal.ReasonDel),
		event(journal.KindAdd, at(30), "c2", addrA),
	), nil), replay.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, iv := range h.Intervals {
		end := "still held"
		if iv.End != nil {
			end = iv.End.Reason.String() + " " + iv.End.Effective.Format(time.TimeOnly)
		}
		fmt.Println(iv.Lease.IP, iv.Lease.ContainerID, iv.Start.Effective.Format(time.TimeOnly), end, iv.Certainty)
	}
	// Output:
	// 10.0.0.2 c1 22:13:30 del 22:13:40 certain
	// 10.0.0.2 c2 22:13:50 still held certain
}
