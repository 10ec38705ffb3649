package allocator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// Errors that callers of a Store branch on, beside those of package journal.
var (
	// ErrNoLease is returned by Check for an attachment that holds nothing.
	ErrNoLease = errors.New("no lease")
	// ErrTooLarge is returned by Add for an attachment whose event would not fit a record.
	ErrTooLarge = errors.New("too much for one record")
	// ErrIDTooLong is returned by Add when the container ID alone is the reason.
	ErrIDTooLong = errors.New("container ID is too long")
	// ErrForeign is returned by Add when the network's data folder, or the one to import from, holds
	// files that are neither ours nor host-local's: whatever they mean, nothing is built beside them.
	ErrForeign = hostlocal.ErrForeign
	// ErrChanging is returned where files of host-local are written without their lock, by somebody else.
	ErrChanging = hostlocal.ErrChanging
	// ErrElsewhere is returned when the data folder is tied to another store.
	ErrElsewhere = errors.New("data folder belongs to another store")
	// ErrCopy is returned by Note for a copy of a store.
	ErrCopy = errors.New("is a copy of a store: nothing is recorded in it")
)

// The CNI error codes of refusals; codes from 100 on are a plugin's own.
const (
	CodeExhausted    = 100
	CodeDuplicate    = 101
	CodeNotAvailable = 102
)

// Code returns the refusal's CNI error code.
func (r *Refusal) Code() int {
	switch {
	case errors.Is(r.Cause, ErrExhausted):
		return CodeExhausted
	case errors.Is(r.Cause, ErrDuplicate):
		return CodeDuplicate
	default:
		return CodeNotAvailable
	}
}

// defaultLockTimeout is how long a call waits for others unless it is told otherwise.
const defaultLockTimeout = 30 * time.Second

// maxContainerID is the longest container ID that leaves room for the other
// mandatory fields of a record with a few addresses, in bytes.
const maxContainerID = 3 << 10

// Options say which store, and how to reach it. They are not changed.
type Options struct {
	Network        string
	DataDir        string        // absolute
	HistoryDir     string        // absolute; "" is DataDir/.leaselog
	LockTimeout    time.Duration // 0 is 30 s
	AllowNetworkFS bool          // create the store even on a network file system
	Version        string        // of the program, recorded in events
	Warn           func(text string)

	// ImportFrom is a folder of host-local, absolute, whose leases are taken over once, besides those in the data
	// folder; "" for none.
	ImportFrom string
	// View says whether host-local's files are kept up to date in the data folder.
	View ViewMode
	// ReclaimOnBoot releases leases of an earlier boot whose namespace is gone, and lets an ADD replace them.
	ReclaimOnBoot bool
	// Packed reads packed history, which Repair and Restore need where there is some.
	Packed Packed
	// Ranges returns the range sets that imported addresses may belong to; nil if they are not known.
	Ranges func() []RangeSet
}

// ViewMode says whether host-local's files are kept up to date beside the journal.
type ViewMode uint8

// The view modes.
const (
	ViewKept ViewMode = iota // as the store says: since it was taken over from host-local in place, or ViewOn was asked for
	ViewOn
	ViewOff
)

// Store is the one way to change a network's leases. Each method is a transaction of its own: lock,
// load, decide in memory, append, sync; when it returns nil, what it did is durable.
// Any number of processes may use the same store; one Store serves one goroutine.
//
// Errors that are not a *Refusal, not one of this package and not one of package
// journal come from the file system and name the file.
type Store struct {
	o      Options
	folder string // <dataDir>/<network>
	dir    string // <historyDir>/<network>
	upkeep upkeep // what the last transaction left to do
	byHand bool   // the folder to import from is looked at by Import
}

// NewStore returns the store that the options name. It touches no disk.
func NewStore(o Options) *Store {
	if o.HistoryDir == "" {
		o.HistoryDir = filepath.Join(o.DataDir, ".leaselog")
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Ranges == nil {
		o.Ranges = func() []RangeSet { return nil }
	}
	return &Store{o: o, folder: filepath.Join(o.DataDir, o.Network), dir: filepath.Join(o.HistoryDir, o.Network)}
}

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// Exists reports whether the network has a store. A damaged one exists.
func (s *Store) Exists() (bool, error) {
	_, err := journal.ReadMeta(s.dir)
	if errors.Is(err, journal.ErrNoStore) {
		return false, nil
	}
	var damage *journal.CorruptionError
	if err == nil || errors.As(err, &damage) || errors.Is(err, journal.ErrNewer) {
		return true, nil
	}
	return false, err
}

// AddRequest is a request with what is recorded about who asks.
type AddRequest struct {
	Request
	CallSets    int // how many of the leading range sets came with the call alone
	NetNS       string
	NetNSID     journal.NetNSID
	Pod         journal.Pod
	TraceParent string
}

// Add gives the attachment one address from each range set, or refuses with a
// *Refusal, which is recorded too. It makes the store if there is none.
func (s *Store) Add(r AddRequest) (Choice, error) {
	if err := s.fits(r); err != nil {
		return Choice{}, err
	}
	t, err := s.beginOrCreate()
	if err != nil {
		return Choice{}, err
	}
	defer t.end()
	if t.foreign != nil {
		return Choice{}, t.foreign
	}
	if err := t.reclaim(&r, r.concerns); err != nil {
		return Choice{}, err
	}
	choice, replaced, err := t.choose(&r)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		if err := t.refuse(r, refusal); err != nil {
			return Choice{}, err
		}
		return Choice{}, refusal
	}
	if err != nil {
		return Choice{}, err
	}
	add := s.addEvent(r)
	add.Addresses, add.Cursors = choice.Addresses, choice.Cursors
	if err := t.appendAdd(add, toEvent(r.Sets[r.CallSets:]), replaced); err != nil {
		return Choice{}, err
	}
	if err := t.notWiped(); err != nil {
		return Choice{}, err
	}
	return choice, nil
}

// concerns reports whether a lease is in the way of the request.
func (r *AddRequest) concerns(l *state.Lease) bool {
	return l.ContainerID == r.Owner.ContainerID && (l.IfName == r.Owner.IfName || l.IfName == "") || slices.Contains(r.IPs, l.IP)
}

// choose chooses, and says which leases end with it: stale ones that are in the way of what is asked for. A file that turns up
// at a chosen address is one that another program has just written.
func (t *transaction) choose(r *AddRequest) (choice Choice, replaced []*journal.Event, err error) {
	for range maxChoices {
		var stale []*attachmentLeases
		err = t.decide(func() (err error) {
			choice, stale, err = t.chooseOver(r)
			return err
		})
		if err != nil {
			return Choice{}, nil, err
		}
		taken, err := t.view.taken(choice.Addresses, stale)
		if err != nil {
			return Choice{}, nil, err
		}
		if !taken {
			replaced, err := t.releases(stale, journal.ReasonReplaced)
			return choice, replaced, err
		}
		if err := t.compareView(); err != nil {
			return Choice{}, nil, err
		}
	}
	return Choice{}, nil, fmt.Errorf("%s: %w", t.store.folder, hostlocal.ErrChanging)
}

// maxChoices bounds how often an ADD chooses anew because somebody wrote to the view's folder without its lock.
const maxChoices = 8

// chooseOver chooses among the leases as they are, and if they are in the way, among those that have an owner.
func (t *transaction) chooseOver(r *AddRequest) (Choice, []*attachmentLeases, error) {
	choice, err := Choose(t.state, r.Request)
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return choice, nil, err
	}
	stale, staleErr := t.replaceable(r)
	if staleErr != nil {
		return Choice{}, nil, staleErr
	}
	if len(stale) == 0 {
		return Choice{}, nil, err
	}
	over, overErr := Choose(withoutStale(t.state, stale), r.Request)
	if errors.As(overErr, &refusal) {
		return Choice{}, nil, err // the same with or without them
	}
	return over, stale, overErr
}

// addEvent returns an add without what is decided under the lock.
func (s *Store) addEvent(r AddRequest) *journal.Event {
	return &journal.Event{Kind: journal.KindAdd, ContainerID: r.Owner.ContainerID, IfName: r.Owner.IfName,
		NetNS: r.NetNS, NetNSID: r.NetNSID, Pod: r.Pod, TraceParent: r.TraceParent, Version: s.o.Version, Ranges: toEvent(r.Sets[:r.CallSets])}
}

// fits refuses what could not be recorded before anything is touched.
func (s *Store) fits(r AddRequest) error {
	if n := len(r.Owner.ContainerID); n > maxContainerID {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrIDTooLong, n, maxContainerID)
	}
	ev := s.addEvent(r)
	for i, set := range r.Sets {
		longest := set[0]
		ev.Addresses = append(ev.Addresses, journal.Address{Set: i, IP: longest.Start, Bits: longest.Subnet.Bits(),
			Gateway: netip.IPv6Unspecified()})
		ev.Cursors = append(ev.Cursors, journal.Cursor{Set: i, IP: longest.Start})
	}
	if err := journal.Fits(*ev); err != nil {
		return fmt.Errorf("%d range sets: %w: %v", len(r.Sets), ErrTooLarge, err)
	}
	return nil
}

// toEvent returns range sets as events hold them.
func toEvent(sets []RangeSet) [][]journal.Range {
	out := make([][]journal.Range, len(sets))
	for i, set := range sets {
		out[i] = make([]journal.Range, len(set))
		for j, r := range set {
			out[i][j] = journal.Range(r)
		}
	}
	return out
}

// digestOf identifies range sets.
func digestOf(sets [][]journal.Range) journal.Hash {
	return sha256.Sum256(journal.AppendRanges(nil, sets))
}

// DelRequest names the attachment to release, with what is recorded about who asks.
type DelRequest struct {
	Owner       state.Attachment
	NetNS       string
	Pod         journal.Pod
	TraceParent string
}

// Del releases all that the attachment holds. An attachment that holds nothing and a network
// without a store are no error. A store is made where host-local's files say that the attachment holds something.
func (s *Store) Del(r DelRequest) error {
	t, err := s.beginOver(func() (bool, error) {
		held, err := s.holdsUnclaimed(r.Owner)
		return len(held) > 0, err
	})
	if errors.Is(err, journal.ErrNoStore) {
		return nil
	}
	if err != nil {
		return err
	}
	defer t.end()
	held, err := t.heldBy(r.Owner)
	if err == nil && len(held) == 0 && t.view != nil {
		// In a large view it may be in a file that nobody has looked at.
		if err = t.compareView(); err == nil {
			held, err = t.heldBy(r.Owner)
		}
	}
	if err != nil {
		return err
	}
	events, err := t.delEvents(&r, held)
	if err != nil {
		return err
	}
	err = t.append(events...)
	if len(held) == 0 && journal.IsFull(err) {
		err = nil // there is no room to note that there was nothing to release
	}
	if err != nil {
		return err
	}
	t.reclaimAfter(nil)
	return nil
}

// heldBy returns what the attachment holds.
func (t *transaction) heldBy(owner state.Attachment) (held []state.Lease, err error) {
	err = t.decide(func() (err error) {
		held, err = heldBy(t.state, owner)
		return err
	})
	return held, err
}

// delEvents returns the events of a DEL: none if there is nothing to release and that is in the journal already,
// because runtimes repeat DEL, or fits no event, because no ADD takes it either.
func (t *transaction) delEvents(r *DelRequest, held []state.Lease) ([]*journal.Event, error) {
	if len(held) == 0 {
		kind, ok := t.state.LastAbout(r.Owner)
		if ok && (kind == journal.KindDel || kind == journal.KindRelease) || len(r.Owner.ContainerID) > maxContainerID {
			return nil, nil
		}
	}
	return releaseEvents(journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: r.Owner.ContainerID,
		IfName: r.Owner.IfName, NetNS: r.NetNS, Pod: r.Pod, TraceParent: r.TraceParent, Version: t.store.o.Version}, held)
}

// releaseEvents returns events that give back what one attachment holds: one, or more where the
// addresses of many ADDs don't fit a record.
func releaseEvents(like journal.Event, held []state.Lease) ([]*journal.Event, error) {
	var events []*journal.Event
	rest := addressesOf(held)
	for {
		ev := like
		ev.Addresses = rest
		_, err := journal.EventBytes(&ev)
		for errors.Is(err, journal.ErrTooLarge) && len(ev.Addresses) > 1 {
			ev.Addresses = ev.Addresses[:(len(ev.Addresses)+1)/2]
			_, err = journal.EventBytes(&ev)
		}
		if err != nil {
			return nil, err
		}
		events = append(events, &ev)
		if rest = rest[len(ev.Addresses):]; len(rest) == 0 {
			return events, nil
		}
	}
}

// heldBy returns what the attachment holds, or else what its container holds by a lease of the
// old kind that knows no interface name.
func heldBy(st *state.State, owner state.Attachment) ([]state.Lease, error) {
	held, err := st.Held(owner)
	if err != nil || len(held) > 0 {
		return held, err
	}
	return st.Held(state.Attachment{ContainerID: owner.ContainerID})
}

func addressesOf(leases []state.Lease) []journal.Address {
	var as []journal.Address
	for _, l := range leases {
		as = append(as, l.Address)
	}
	return as
}
