package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// pageData is a page's data as docs/FORMAT.md describes it, read by nothing that has written it.
type pageData struct {
	Schema string
	Made   time.Time
	Asked  struct{ Since, Until string }
	Views  []*pageView
}

type pageRow struct {
	From                   *[2]int64
	Unknown, Maybe, Doubts []int
	Candidates, Possible   []int
	Steps                  []int
	Certainty              string
	Open, General          bool
}

type pageView struct {
	Network, Node, Certainty string
	From, To                 [2]int64
	Covered                  *[2]int64
	OpenTo                   *[2]int64 `json:"open_to"`
	Journals                 []struct{ ID string }
	Boots                    []struct {
		MaxError int64 `json:"max_error_ns"`
	}
	Texts   []string
	Ranges  []struct{ Start, End, Gateway string }
	Changes []struct {
		Known, Partial bool
		Ranges         []int
	}
	Steps []struct {
		Seq   uint64
		Doubt int
	}
	Rows []pageRow
	Own  []struct {
		Address int
		Rows    []pageRow
	}
	Events    struct{ Count, First, Last int }
	EventRuns struct{ Journal, Boot [][2]int } `json:"event_runs"`
	Leases    int
	Files     [][2]int `json:"file_runs"`
	IfNames   [][2]int `json:"ifname_runs"`
	DoubtSets []struct {
		All, Then []int
		Use       int
	} `json:"doubt_sets"`
	Addresses int
	IPv4      int `json:"addresses4"`
	IDs, Pods int
	Columns   map[string][2]int

	data      []byte
	events    []pageEvent
	leases    []pageLease
	addresses []netip.Addr
}

type pageEvent struct {
	seq                 uint64
	kind                byte
	code                uint64
	effective, recorded int64
	journal, boot       int
}

type pageWindow struct {
	from, to            int64
	unsure, partly, use bool
}

type pageLease struct {
	address                                   netip.Addr
	start, end, doubtful                      int // -1: none
	flags, reason                             byte
	id, namespace, pod, file, ifname, endText string
	doubts, then                              []string
	use                                       int // 1 + which of then is said only where its use is in doubt
	lastSeq                                   uint64
	windows                                   []pageWindow
}

// decodePage reads the data in a page.
func decodePage(page []byte) (*pageData, error) {
	_, rest, _ := bytes.Cut(page, []byte(`<script type="application/octet-stream" id="leaselog-data">`))
	text, _, found := bytes.Cut(rest, []byte("</script>"))
	if !found {
		return nil, fmt.Errorf("the page has no data")
	}
	unpacked, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text)))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(unpacked)
	if err != nil || len(data) < 8 || string(data[:4]) != "LLR1" {
		return nil, fmt.Errorf("data begins with %q: %v", data[:min(len(data), 8)], err)
	}
	head, data := data[8:8+binary.LittleEndian.Uint32(data[4:])], data[8+binary.LittleEndian.Uint32(data[4:]):]
	p := &pageData{}
	if err := json.Unmarshal(head, p); err != nil {
		return nil, err
	}
	for _, v := range p.Views {
		v.data = data
		v.decodeEvents()
		v.decodeAddresses()
		if err := v.decodeLeases(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// numbers are those of a column, one after the other.
type numbers []byte

func (v *pageView) column(name string) *numbers {
	at := v.Columns[name]
	n := numbers(v.data[at[0] : at[0]+at[1]])
	return &n
}

func (n *numbers) next() uint64 {
	x, size := binary.Uvarint(*n)
	*n = (*n)[size:]
	return x
}

func (n *numbers) signed() int64 {
	x := n.next()
	return int64(x>>1) ^ -int64(x&1)
}

func (n *numbers) take(size int) []byte {
	b := (*n)[:size]
	*n = (*n)[size:]
	return b
}

func (n *numbers) byte() byte { return n.take(1)[0] }

// runAt is the value of runs at an index.
func runAt(runs [][2]int, index int) int {
	value := 0
	for _, r := range runs {
		if r[0] <= index {
			value = r[1]
		}
	}
	return value
}

func nanos(at [2]int64) int64 { return at[0]*1e6 + at[1] }

func (v *pageView) decodeEvents() {
	seq, kind, code := v.column("e.seq"), v.column("e.kind"), v.column("e.code")
	ms, ns, offMS, offNS := v.column("e.ms"), v.column("e.ns"), v.column("e.offms"), v.column("e.offns")
	var e pageEvent
	var at, q, r int64
	for i := range v.Events.Count {
		if j := runAt(v.EventRuns.Journal, i); j != e.journal {
			e.journal, e.seq = j, 0
		}
		e.boot = runAt(v.EventRuns.Boot, i)
		e.seq += seq.next()
		if e.kind, e.code = kind.byte(), 0; e.kind == 3 {
			e.code = code.next()
		}
		at += ms.signed()
		b := ns.take(3)
		e.effective = at*1e6 + (int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16)
		q, r = q+offMS.signed(), r+offNS.signed()
		e.recorded = e.effective + q*1e6 + r
		v.events = append(v.events, e)
	}
}

func (v *pageView) decodeAddresses() {
	v4, v6, n := v.column("a.v4"), v.column("a.v6"), uint64(0)
	for i := range v.Addresses {
		if i < v.IPv4 {
			n += v4.next()
			v.addresses = append(v.addresses, netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
		} else {
			v.addresses = append(v.addresses, netip.AddrFrom16([16]byte(v6.take(16))))
		}
	}
}

// owners are whose leases are: container IDs and pods.
func (v *pageView) decodeOwners() (ids []string, pods [][2]string) {
	id, pod, form, raw, text := v.column("l.id"), v.column("l.pod"), v.column("i.form"), v.column("i.bytes"), v.column("i.text")
	ns, length, names := v.column("p.ns"), v.column("p.name"), v.column("p.bytes")
	same := len(*form) == 1
	for i := range v.Leases {
		k := int(id.next())
		if k > 0 {
			ids = append(ids, ids[i-k])
		} else {
			f := (*form)[0]
			if !same {
				form.byte()
			}
			switch f {
			case 0:
				ids = append(ids, string(text.take(int(text.next()))))
			case 1:
				ids = append(ids, hex.EncodeToString(raw.take(32)))
			case 2:
				ids = append(ids, hex.EncodeToString(raw.take(8)))
			}
		}
		switch p := int(pod.next()); p {
		case 0:
			pods = append(pods, [2]string{})
		case 1:
			pods = append(pods, [2]string{v.Texts[ns.next()], string(names.take(int(length.next())))})
		case 2:
			pods = append(pods, pods[i-k])
		default:
			pods = append(pods, pods[i-(p-2)])
		}
	}
	return ids, pods
}

func (v *pageView) decodeLeases() error {
	var more []struct {
		Lease, Text int
		LastSeq     uint64 `json:"last_seq"`
	}
	var explicit []struct {
		Lease   int
		Windows [][3]json.RawMessage
	}
	for name, into := range map[string]any{"l.more": &more, "w": &explicit} {
		if column := *v.column(name); len(column) > 0 {
			if err := json.Unmarshal(column, into); err != nil {
				return err
			}
		}
	}
	start, end, address, flags := v.column("l.start"), v.column("l.end"), v.column("l.address"), v.column("l.flags")
	doubtful, doubts, reason := v.column("l.doubtful"), v.column("l.doubts"), v.column("l.reason")
	ids, pods := v.decodeOwners()
	at, ip := 0, 0
	for i := range v.Leases {
		at, ip = at+int(start.next()), ip+int(address.signed())
		l := pageLease{address: v.addresses[ip], start: at, end: -1, doubtful: -1, flags: flags.byte(), id: ids[i], namespace: pods[i][0], pod: pods[i][1],
			file: v.Texts[runAt(v.Files, i)], ifname: v.Texts[runAt(v.IfNames, i)]}
		if n := int(end.next()); n > 0 {
			l.end, l.reason = at+n-1, reason.byte()
		}
		if l.flags&16 != 0 {
			l.doubtful = at + int(doubtful.next())
		}
		if set := int(doubts.next()); set > 0 {
			of := &v.DoubtSets[set-1]
			for _, n := range of.All {
				l.doubts = append(l.doubts, v.filled(v.Texts[n], &l))
			}
			if l.then, l.use = l.doubts, of.Use; of.Then != nil {
				l.then = nil
			}
			for _, n := range of.Then {
				l.then = append(l.then, v.filled(v.Texts[n], &l))
			}
		}
		if l.flags&32 != 0 {
			l.endText, l.lastSeq = v.Texts[more[0].Text], more[0].LastSeq
			more = more[1:]
		}
		if l.flags&1 != 0 {
			for _, w := range explicit[0].Windows {
				flags, err := strconv.Atoi(string(w[2]))
				if err != nil {
					return err
				}
				l.windows = append(l.windows, pageWindow{openEnd(w[0], -1), openEnd(w[1], 1), flags&1 != 0, flags&2 != 0, flags&4 != 0})
			}
			explicit = explicit[1:]
		} else {
			l.windows = v.byEvents(&l)
		}
		v.leases = append(v.leases, l)
	}
	return nil
}

// openEnd is an instant, or the end of time that null stands for.
func openEnd(raw json.RawMessage, sign int64) int64 {
	var at *[2]int64
	if err := json.Unmarshal(raw, &at); err != nil || at == nil {
		return sign * (1<<63 - 1)
	}
	return nanos(*at)
}

// filled puts the numbers of a lease's events into a text about it.
func (v *pageView) filled(text string, l *pageLease) string {
	seq := func(event int) string {
		if event < 0 {
			return "?"
		}
		return strconv.FormatUint(v.events[event].seq, 10)
	}
	when := "?"
	if l.doubtful >= 0 {
		when = stamp(time.Unix(0, v.events[l.doubtful].effective))
	}
	return strings.NewReplacer("\x00s", seq(l.start), "\x00e", seq(l.end), "\x00w", seq(l.doubtful), "\x00t", when, "\x000", "\x00").Replace(text)
}

// byEvents are the windows of a lease that brings none.
func (v *pageView) byEvents(l *pageLease) []pageWindow {
	bounds := func(event int) (lo, hi int64) {
		e := &v.events[event]
		err := v.Boots[e.boot].MaxError
		return min(e.recorded, e.effective-err), max(e.recorded, e.effective+err)
	}
	a, b := bounds(l.start)
	var c, d int64
	ends, doubted := int64(math.MaxInt64), int64(math.MaxInt64)
	if l.end >= 0 {
		c, d = bounds(l.end)
		ends = c
	} else {
		c, d = nanos(*v.Covered)+1, nanos(*v.OpenTo)
	}
	if l.doubtful >= 0 {
		doubted, _ = bounds(l.doubtful)
		e := &v.events[l.doubtful]
		c = min(c, min(e.recorded, e.effective)+1)
	}
	if l.flags&2 != 0 {
		c, doubted = a, math.MaxInt64
	}
	cuts := []int64{a, b, c, d, ends, doubted}
	slices.Sort(cuts)
	var windows []pageWindow
	for i, from := range cuts[:len(cuts)-1] {
		if to := cuts[i+1]; a <= from && from < to && to <= d {
			windows = append(windows, pageWindow{from, to, from < b || from >= c, from < b || from >= ends, from >= doubted})
		}
	}
	return windows
}
