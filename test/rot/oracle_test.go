package rot_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// place is damage as it has to be named. A nil place means that nothing is to be said.
type place struct {
	files  []string // any of these, below the root
	seq    journal.Seq
	off    int64 // anyOffset: whatever it says
	reason error // instead of damage: an error that names the file in its text; nil for damage
}

const (
	noOffset  = -1
	anyOffset = -2
)

// check holds an error against the place.
func (p *place) check(root string, err error) error {
	switch {
	case p == nil && err != nil:
		return fmt.Errorf("got %w, want no error", err)
	case p == nil:
		return nil
	case err == nil:
		return fmt.Errorf("no error, want damage in %q, event %d", p.files, p.seq)
	}
	if p.reason != nil {
		if !errors.Is(p.reason, errAny) && !errors.Is(err, p.reason) || !strings.Contains(err.Error(), filepath.Join(root, p.files[0])) {
			return fmt.Errorf("got %w, want %w that names %s", err, p.reason, p.files[0])
		}
		return nil
	}
	var d *journal.CorruptionError
	if !errors.As(err, &d) {
		return fmt.Errorf("got %w, want damage in %q", err, p.files)
	}
	file, relErr := filepath.Rel(root, d.File)
	if relErr != nil || !slices.Contains(p.files, file) {
		return fmt.Errorf("got %w, want damage in %q", err, p.files)
	}
	if d.Seq != p.seq || p.off != anyOffset && d.Offset != p.off {
		return fmt.Errorf("got %w, want event %d and byte %d", err, p.seq, p.off)
	}
	return nil
}

// verdict says what the next calls make of a damaged store.
type verdict int

const (
	goOn     verdict = iota // they answer as if nothing were damaged
	refuse                  // they name the damage and change nothing
	repair                  // they cut a torn tail, keep it and tell it
	setAside                // they put a snapshot aside
	reset                   // they take the store for wiped
	either                  // refuse or repair: what lies behind the journal's end is of any kind
)

// prediction is what the oracle wants to see. Places are nil where nothing is to be said.
type prediction struct {
	history   journal.Seq // the last event that a reader of the whole history gets
	historyAt *place      // and what it meets then
	looks     journal.Seq // CHECK answers as after this event
	looksAt   *place      // or names this
	statusAt  *place
	calls     verdict
	callsAt   *place
	state     journal.Seq // the calls build on the journal up to this event
	from, to  int         // repair: the bytes of the newest segment that are cut
}

// outcome is what a case came to.
type outcome int

const (
	repaired       outcome = iota // torn tail: kept, told, not acknowledged by marker or snapshot
	namedToCalls                  // the next call says it
	namedToHistory                // calls do not need the bytes; who reads the whole history is told
	replaced                      // snapshot set aside and told
	harmless                      // identical answers and history
	wiped                         // the claim is gone: the documented reset
	unacknowledged                // the last event, which nobody had acknowledged, is gone
	unwitnessed                   // the exception: cut between records that neither marker nor snapshot witnesses
	outcomes
)

var outcomeNames = [...]string{"repaired tail", "named to the next call", "named to readers of the history", "snapshot replaced",
	"harmless", "reset", "unacknowledged event gone", "cut between unwitnessed records"}

// predict tells what has to come of damage to a file of this content, by the format alone.
func (f *fixture) predict(j job, was []byte) prediction {
	file, m, d := j.file, j.mode, j.damage
	now := d.apply(was)
	whole := prediction{history: lastEvent, looks: lastEvent, state: lastEvent}
	if m == modeWriting { // what nobody has acknowledged is not reported by those who don't sync it
		whole.history, whole.looks = lastEvent-1, lastEvent-1
	}
	switch {
	case file == claimFile:
		return f.predictClaim(whole, now)
	case file == metaFile:
		at := &place{files: []string{metaFile}, off: noOffset}
		return prediction{historyAt: at, looksAt: at, statusAt: at, calls: refuse, callsAt: at}
	case file == lockFile:
		whole.history, whole.looks = lastEvent, lastEvent // nothing says that the last event was not acknowledged
		if d.kind == remove {
			whole.calls, whole.callsAt = refuse, &place{files: []string{lockFile}, off: noOffset}
			whole.statusAt = &place{files: []string{lockFile}, reason: errAny}
		}
		return whole
	case file == snapshotFile(newerSnapshot) && d.kind != remove:
		if !j.unread(was, now) {
			whole.calls = setAside
		}
		return whole
	case strings.HasPrefix(file, journalDir), strings.HasPrefix(file, archiveDir):
		if d.kind == remove {
			return f.predictRemoved(whole, file, m)
		}
		if file == newestSegment() {
			return f.predictNewest(whole, m, was, now)
		}
		return f.predictSealed(whole, file, was, now)
	}
	return whole // nothing depends on the file
}

// unread reports whether damage to a snapshot lies in the one block that the script's calls don't read: with the
// IPv4 address requested, nobody looks for a free one among the runs of held ones.
func (j job) unread(was, now []byte) bool {
	const runs4 = 3
	from, to := runs4*snapshotBlock, (runs4+1)*snapshotBlock
	return j.script >= 0 && scripts[j.script].ips != nil && len(was) == len(now) && len(was) >= to &&
		bytes.Equal(was[:from], now[:from]) && bytes.Equal(was[to:], now[to:])
}

// errAny stands for any error.
var errAny = errors.New("any error")

func (f *fixture) predictClaim(p prediction, now []byte) prediction {
	if now == nil {
		p.calls = reset
		return p
	}
	first, _, _ := strings.Cut(string(now), "\n")
	id, err := hex.DecodeString(strings.TrimSpace(first))
	switch {
	case err != nil || len(id) != len(f.id):
		p.callsAt = &place{files: []string{claimFile}, off: 0}
	case !bytes.Equal(id, f.id[:]):
		p.callsAt = &place{files: []string{claimFile}, reason: allocator.ErrElsewhere}
	default:
		return p
	}
	p.calls, p.looksAt, p.statusAt = refuse, p.callsAt, p.callsAt
	return p
}

// firstHurt is the first event of a segment whose entry is not as it was, and where that begins:
// at the end where something was appended.
func (f *fixture) firstHurt(in []entry, was, now []byte) (seq journal.Seq, from int) {
	at := firstDifference(was, now)
	for _, e := range in {
		if at < e.to {
			return e.ev.Seq, e.from
		}
	}
	return in[len(in)-1].ev.Seq + 1, len(was)
}

// predictSealed is about segments that others follow: nothing in them may be taken for a torn tail.
func (f *fixture) predictSealed(p prediction, file string, was, now []byte) prediction {
	in := f.in(file)
	seq, from := f.firstHurt(in, was, now)
	ends := len(now) == from // at the end of an entry: only what follows shows that something is missing
	p.history = seq - 1
	p.historyAt = &place{files: []string{file}, seq: seq, off: int64(from)}
	if ends {
		p.historyAt.off = anyOffset
	}
	if in[len(in)-1].ev.Seq <= newerSnapshot || !f.callsMeet(in, was, now) {
		return p
	}
	p.calls, p.callsAt = refuse, &place{files: []string{file}, seq: seq, off: int64(from)}
	if ends {
		p.callsAt = &place{files: []string{file}, seq: max(seq, newerSnapshot+1), off: anyOffset}
	}
	p.looksAt, p.statusAt = p.callsAt, p.callsAt
	return p
}

// callsMeet reports whether a call that begins at the newer snapshot meets the damage: of the entries
// before it needs the lengths alone.
func (f *fixture) callsMeet(in []entry, was, now []byte) bool {
	if len(now) != len(was) {
		return true
	}
	for i := range in {
		e := &in[i]
		to := e.to
		if e.ev.Seq <= newerSnapshot {
			to = e.from + e.prefix()
		}
		if !bytes.Equal(was[e.from:to], now[e.from:to]) {
			return true
		}
	}
	return false
}

// predictNewest is about the segment that is appended to: the table of torn tails in docs/FORMAT.md.
func (f *fixture) predictNewest(p prediction, m mode, was, now []byte) prediction {
	file := newestSegment()
	in := f.in(file)
	seq, from := f.firstHurt(in, was, now)
	between := len(now) == from
	at := &place{files: []string{file}, seq: seq, off: int64(from)}
	if between {
		at.off = anyOffset
	}
	if seq > lastEvent { // something was appended
		p.calls, p.callsAt, p.from, p.to = either, at, from, len(now)
		if f.zeroPart(now, from) {
			p.calls = repair
		}
		return p
	}
	if seq <= m.durable() || !between && !f.torn(in, seq, from, was, now) {
		p.calls, p.callsAt = refuse, at
		if m == modeWriting && seq == lastEvent {
			return p // readers don't look there
		}
		p.history, p.historyAt, p.looksAt, p.statusAt = seq-1, at, at, at
		return p
	}
	p.state = seq - 1
	p.history, p.looks = min(p.history, seq-1), min(p.looks, seq-1)
	if !between {
		p.calls, p.from, p.to = repair, from, len(now)
	}
	return p
}

// torn reports whether what begins at from may be what an append cut short left there.
func (f *fixture) torn(in []entry, seq journal.Seq, from int, was, now []byte) bool {
	for i := range in {
		e := &in[i]
		record := e.to - len(e.raw)
		intact := len(now) >= e.to && bytes.Equal(was[record:e.to], now[record:e.to])
		if intact && (e.ev.Seq == seq || e.ev.Seq > seq && e.ev.Synced >= seq) {
			return false
		}
	}
	return bytes.HasPrefix(was, now) || f.zeroPart(now, from)
}

// zeroPart reports whether a sector is all zeros in the part that the bytes from from on reach.
func (f *fixture) zeroPart(now []byte, from int) bool {
	for at := from; at < len(now); {
		end := min((at/sector+1)*sector, len(now))
		if len(bytes.Trim(now[at:end], "\x00")) == 0 {
			return true
		}
		at = end
	}
	return false
}

// predictRemoved is about segments that are gone. That can't be told from one before it that lost its end.
func (f *fixture) predictRemoved(p prediction, file string, m mode) prediction {
	in := f.in(file)
	first := in[0].ev.Seq
	at := &place{files: []string{journalDir}, seq: first, off: anyOffset}
	if first > 1 {
		at.files = append(at.files, f.entry(first-1).file)
	}
	if file == newestSegment() && first > m.durable() {
		p.history, p.looks, p.state = first-1, first-1, first-1
		return p
	}
	p.history, p.historyAt = first-1, at
	if last := in[len(in)-1].ev.Seq; last > newerSnapshot {
		needed := *at
		needed.seq = max(first, newerSnapshot+1)
		p.calls, p.callsAt, p.looksAt, p.statusAt = refuse, &needed, &needed, &needed
	}
	return p
}
