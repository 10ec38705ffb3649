package past_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// aged is a store of which much is archived: a turmoil of one process, in one boot.
type aged struct {
	*turmoil
	n       caller.Network
	records []journal.Record // all of them; event 1 is at 0
}

// newAged makes one. Between calls the store grows, so that each of its segments holds some calls.
func newAged(t *testing.T) *aged {
	t.Helper()
	n := networks(t)[0]
	a := &aged{turmoil: newTurmoil(t, n), n: n}
	a.boot = journal.CurrentBoot()
	a.begin()
	var held []*tenure
	for i := range 10 {
		for j := range 9 {
			id := fmt.Sprintf("c%d-%d", i, j)
			answer, s := a.call(caller.Call{Network: n, Verb: "ADD", ID: id})
			if !answer.OK() {
				t.Fatalf("ADD: %v", answer)
			}
			held = append(held, a.began(n.Name, id, a.boot, s, answer))
			for len(held) > 7 {
				_, s := a.call(caller.Call{Network: n, Verb: "DEL", ID: held[0].id})
				a.ended(held[0], byDel, s)
				held = held[1:]
			}
		}
		cmd := exec.Command(age, n.StoreDir(), strconv.Itoa((i+1)*430))
		cmd.Env = a.clock.env(a.boot)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	a.archived()
	a.readAll()
	return a
}

func (a *aged) readAll() {
	j, err := journal.OpenReader(a.n.StoreDir())
	if err != nil {
		a.t.Fatal(err)
	}
	defer j.Close()
	for rec, err := range j.Records(0) {
		if err != nil {
			a.t.Fatal(err)
		}
		rec.Event.ContainerID = strings.Clone(rec.Event.ContainerID)
		a.records = append(a.records, rec)
	}
}

// at is when an event was.
func (a *aged) at(seq journal.Seq) int64 { return a.records[seq-1].Event.Clock.Wall }

// copied returns the network in a data folder of its own.
func copied(t *testing.T, n caller.Network) caller.Network {
	t.Helper()
	from := n.DataDir
	n.DataDir = filepath.Join(t.TempDir(), "networks")
	lab.Must(t, "cp", "-a", from, n.DataDir)
	return n
}

// gone is what a test has made of a copy: events that are lost.
type gone struct {
	first, last journal.Seq
	read        []journal.Seq // that can be read in between
}

// TestDamage loses events in the middle of an archive, and asks around them.
func TestDamage(t *testing.T) {
	r := random(t)
	a := newAged(t)
	archived := segments(t, a.n, "archive")
	if len(archived) < 3 {
		t.Fatalf("%d archived segments, want 3", len(archived))
	}
	middle := filepath.Base(archived[1])
	for _, test := range []struct {
		name      string
		snapshots bool // are kept
		damage    func(t *testing.T, n caller.Network) gone
	}{
		{"flipped byte", true, func(t *testing.T, n caller.Network) gone { return a.flip(t, n, middle, 1, r) }},
		{"flipped bytes", true, func(t *testing.T, n caller.Network) gone { return a.flip(t, n, middle, 2, r) }},
		{"removed segment", true, func(t *testing.T, n caller.Network) gone { return a.remove(t, n, middle) }},
		{"removed segment, no snapshots", false, func(t *testing.T, n caller.Network) gone { return a.remove(t, n, middle) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := copied(t, a.n)
			if !test.snapshots {
				for _, path := range snapshots(t, n) {
					must(t, os.Remove(path))
				}
			}
			lost := test.damage(t, n)
			a.verified(t, n, middle, lost)
			a.around(t, n, lost, test.snapshots, r)
			a.historiesOf(t, n, lost)
		})
	}
}

// flip flips a byte in each of so many records of an archived segment, each 5 events behind the one before.
func (a *aged) flip(t *testing.T, n caller.Network, segment string, records int, r *rand.Rand) gone {
	t.Helper()
	var within []*journal.Record
	for i := range a.records {
		if filepath.Base(a.records[i].File) == segment && len(a.records[i].Event.Addresses) > 0 {
			within = append(within, &a.records[i])
		}
	}
	first := within[len(within)/2]
	lost := gone{first: first.Event.Seq, last: first.Event.Seq + journal.Seq(5*(records-1))}
	path := filepath.Join(n.StoreDir(), "archive", segment)
	b, err := os.ReadFile(path)
	must(t, err)
	for seq := lost.first; seq <= lost.last; seq++ {
		if rec := &a.records[seq-1]; (seq-lost.first)%5 == 0 {
			b[rec.Offset+int64(r.IntN(len(rec.Raw)))] ^= byte(1 + r.IntN(255))
		} else {
			lost.read = append(lost.read, seq)
		}
	}
	must(t, os.WriteFile(path, b, 0o600))
	return lost
}

// remove removes an archived segment.
func (a *aged) remove(t *testing.T, n caller.Network, segment string) gone {
	t.Helper()
	must(t, os.Remove(filepath.Join(n.StoreDir(), "archive", segment)))
	var lost gone
	for i := range a.records {
		if filepath.Base(a.records[i].File) == segment {
			lost.last = a.records[i].Event.Seq
			if lost.first == 0 {
				lost.first = lost.last
			}
		}
	}
	return lost
}

// verified fails the test unless verify names what is lost, and nothing else.
func (a *aged) verified(t *testing.T, n caller.Network, segment string, lost gone) {
	t.Helper()
	s := ask(t, nil, "verify", "--data-dir", n.DataDir, "-o", "json")
	r := s.read(t)
	first, last := journal.Seq(0), journal.Seq(0)
	for _, f := range r.Findings {
		if f.Severity == "note" {
			continue
		}
		if first == 0 || f.FirstSeq < first {
			first = f.FirstSeq
		}
		last = max(last, f.LastSeq)
		if !strings.HasPrefix(f.File, "archive") && !strings.HasPrefix(f.File, "journal") || f.FirstSeq < lost.first || f.LastSeq > lost.last {
			t.Errorf("%+v is about more than events %d to %d of %s: %v", f, lost.first, lost.last, segment, s)
		}
	}
	if s.exit != 1 || first != lost.first || last != lost.last {
		t.Errorf("want exit 1 and events %d to %d named: %v", lost.first, lost.last, s)
	}
}

// around asks who held what before, in and behind what is lost.
func (a *aged) around(t *testing.T, n caller.Network, lost gone, snapshots bool, r *rand.Rand) {
	t.Helper()
	from, to, end := a.at(lost.first-1), a.at(lost.last+1), a.at(journal.Seq(len(a.records)))
	margin := 2 * int64(clockError)
	var before, behind tally
	var ip netip.Addr
	know := func(v verdict, at int64) verdict {
		if at < from {
			return v
		}
		return a.behind(v, at, lost, ip, snapshots)
	}
	for range 15 {
		ip = addresses(t, n)[0][r.IntN(29)]
		first := a.first[n.Name].returned
		a.ask(t, n, ip, first+r.Int64N(from-margin-first), know, &before)
		a.ask(t, n, ip, to+margin+r.Int64N(end-to-margin), know, &behind)
		a.inside(t, n, ip, from+1+r.Int64N(to-from-1), lost, snapshots)
	}
	for i, tn := range a.tenures { // in the middle of some
		ip = tn.ips[0]
		at := (tn.begin.returned + tn.end.called) / 2
		switch {
		case tn.how == "":
		case at < from-margin:
			a.ask(t, n, ip, at, know, &before)
		case at > to+margin && at < end && i%2 == 0:
			a.ask(t, n, ip, at, know, &behind)
		}
	}
	if before.held < 5 || behind.held < 5 {
		t.Errorf("before %+v, behind %+v: this test shows less than it means to", before, behind)
	}
}

// inside asks about a time at which events are lost. Where some between them can be read, they may tell of the address.
func (a *aged) inside(t *testing.T, n caller.Network, ip netip.Addr, at int64, lost gone, snapshots bool) {
	t.Helper()
	s := ask(t, nil, "who", ip.String(), "--at", stamp(at), "--data-dir", n.DataDir, "-o", "json")
	reply := s.read(t)
	v := a.judge(a.n.Name, ip, at, false)
	between := len(lost.read) > 0 && at >= a.at(lost.read[0]) && at < a.at(lost.read[len(lost.read)-1]+1)
	switch {
	case s.exit != 3 && (between || snapshots && v.through(a.at(lost.first-1), a.at(lost.last+1))):
		v.agrees(t, ip, at, whoSaid(t, s), &tally{})
	case s.exit != 3 || reply.State != "unknown" || !a.namesLoss(reply.Doubts, lost):
		t.Errorf("want unknown, as events %d to %d are lost: %v", lost.first, lost.last, s)
	}
}

// through reports whether one held the address from a time to another.
func (v *verdict) through(from, to int64) bool {
	return v.holder != nil && v.holder.begin.returned < from && (v.holder.how == "" || v.holder.end.called > to)
}

// namesLoss reports whether doubts name events that are lost.
func (a *aged) namesLoss(doubts []string, lost gone) bool {
	return slices.ContainsFunc(doubts, func(d string) bool {
		return strings.Contains(d, fmt.Sprintf("event %d is lost", lost.first)) || strings.Contains(d, fmt.Sprintf("event %d is lost", lost.last)) ||
			strings.Contains(d, fmt.Sprintf("events %d to %d are lost", lost.first, lost.last))
	})
}

// ask asks who held an address, and holds the answer against what was seen from outside and what of that can still be known.
func (a *aged) ask(t *testing.T, n caller.Network, ip netip.Addr, at int64, known func(verdict, int64) verdict, count *tally) {
	t.Helper()
	s := ask(t, nil, "who", ip.String(), "--at", stamp(at), "--data-dir", n.DataDir, "-o", "json")
	v := known(a.judge(n.Name, ip, at, false), at)
	got := whoSaid(t, s)
	if got.exit == 3 && slices.Contains(v.exits, 3) {
		return // not known, as it may be
	}
	v.agrees(t, ip, at, got, count)
}

// behind says what can still be known of an address behind a loss.
func (a *aged) behind(v verdict, at int64, lost gone, ip netip.Addr, snapshots bool) verdict {
	if v.decided && v.holder == nil && at < a.nextAdd(lost) {
		v.exits = []int{3} // ranges are known again from the next ADD on
		return verdict{exits: v.exits, decided: true}
	}
	if snapshots || a.settled(ip, lost) {
		return v
	}
	v.exits = append(slices.Clone(v.exits), 3)
	return v
}

// nextAdd is when the first ADD behind a loss had certainly been.
func (a *aged) nextAdd(lost gone) int64 {
	for i := int(lost.last); i < len(a.records); i++ {
		if rec := &a.records[i]; rec.Event.Kind == journal.KindAdd {
			return rec.Event.Clock.Wall + int64(clockError) + 1
		}
	}
	return a.at(journal.Seq(len(a.records)))
}

// settled reports whether events behind a loss tell of the address by themselves.
func (a *aged) settled(ip netip.Addr, lost gone) bool {
	for i := int(lost.last); i < len(a.records); i++ {
		ev := &a.records[i].Event
		if slices.ContainsFunc(ev.Addresses, func(x journal.Address) bool { return x.IP == ip }) {
			return true // an ADD says that it was free before, a DEL who held it
		}
	}
	return false
}

// historiesOf fails the test unless the history of each address says that events are lost.
func (a *aged) historiesOf(t *testing.T, n caller.Network, lost gone) {
	t.Helper()
	for _, ip := range addresses(t, n)[0][:8] {
		s := ask(t, nil, "history", "--ip", ip.String(), "--data-dir", n.DataDir, "-o", "json")
		r := s.read(t)
		if s.exit != 3 || r.Certainty != "unknown" || !a.namesLoss(r.Doubts, lost) {
			t.Errorf("%s: want unknown, and why: %v", ip, s)
		}
		for _, l := range r.Intervals {
			i := slices.IndexFunc(a.tenures, func(tn *tenure) bool { return tn.id == l.ContainerID && slices.Contains(tn.ips, ip) })
			if i < 0 {
				t.Errorf("%s was never held by %s: %v", ip, l.ContainerID, s)
				continue
			}
			if tn := a.tenures[i]; l.Certainty == "certain" && tn.differs(l) != "" {
				t.Errorf("%s: %+v is certain: %s; want %v", ip, l, tn.differs(l), tn)
			}
		}
	}
}

// TestBroken asks about stores that can't be read, or not to their end. Nobody knows then who held what: that is not
// nobody, and not somebody by what is left.
func TestBroken(t *testing.T) {
	made := calm(t)
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"half a segment", func(dir string) error {
			path := filepath.Join(dir, "journal", "00000000000000000001")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()/2)
		}, "00000000000000000001"},
		{"META missing", func(dir string) error { return os.Remove(filepath.Join(dir, "META")) }, "META"},
		{"META empty", func(dir string) error { return os.Truncate(filepath.Join(dir, "META"), 0) }, "META"},
		{"META damaged", func(dir string) error {
			path := filepath.Join(dir, "META")
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 4
			return os.WriteFile(path, b, 0o600)
		}, "META"},
		{"newer readers wanted", func(dir string) error {
			m, err := journal.ReadMeta(dir)
			if err != nil {
				return err
			}
			m.Format, m.MinReader, m.MinWriter = 9, 9, 9
			return journal.WriteMeta(dir, m)
		}, "newer"},
		{"unknown kind", appendUnknown, "newer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := copied(t, made)
			must(t, test.damage(n.StoreDir()))
			for _, args := range questions() {
				s := ask(t, nil, append(args, "--data-dir", n.DataDir, "-o", "json")...)
				want := 3
				if args[0] == "verify" && test.want != "newer" {
					want = 1
				} else if args[0] == "verify" {
					want = failure
				}
				if args[0] == "events" && s.exit == 0 && strings.Contains(s.stdout, `"understood":false`) {
					continue // it shows the event as what it is
				}
				if s.exit != want || !strings.Contains(s.stderr+s.stdout, test.want) {
					t.Errorf("want exit %d and %q: %v", want, test.want, s)
				}
				if r := s.read(t); want == 3 && r.Certainty != "unknown" {
					t.Errorf("want certainty unknown: %v", s)
				}
			}
		})
	}
}

// appendUnknown appends an event of a kind that changes the lease map and that this version doesn't know.
func appendUnknown(dir string) error {
	j, err := journal.OpenReader(dir)
	if err != nil {
		return err
	}
	id := j.Meta().ID
	var last journal.Record
	for rec, err := range j.Records(0) {
		if err != nil {
			return errors.Join(err, j.Close())
		}
		last = rec
	}
	ev := journal.Event{Seq: last.Event.Seq + 1, Synced: last.Event.Seq, Prev: journal.RecordHash(last.Raw), Clock: last.Event.Clock, Kind: 40}
	record, err := journal.AppendRecord(nil, id, &ev)
	if err == nil {
		err = appendEntry(filepath.Join(dir, last.File), record)
	}
	return errors.Join(err, j.Close())
}

// appendEntry writes a record as tidwall/wal does: behind its length.
func appendEntry(path string, record []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	n := uint64(len(record))
	var length []byte
	for ; n > 127; n >>= 7 {
		length = append(length, byte(n)|0x80)
	}
	_, err = f.Write(append(append(length, byte(n)), record...))
	return errors.Join(err, f.Close())
}
