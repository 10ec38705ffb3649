package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// epoch is second 0 of fixtures: their stores are not of this boot and have no marker.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const firstSegment = "journal/00000000000000000001"

// parseEvents reads events, one a line: second or time in RFC 3339, kind, then name=value fields.
// "\t" and the like in values are Go escapes.
func parseEvents(text string) ([]journal.Event, error) {
	var events []journal.Event
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		at, err := parseAt(fields[0])
		if err != nil {
			return nil, err
		}
		kind, err := journal.ParseKind(fields[1])
		if err != nil {
			return nil, err
		}
		ev := journal.Event{Kind: kind, Clock: journal.Clock{Wall: at.UnixNano(), BootTime: int64(at.Sub(epoch)),
			Boot: journal.BootID{1}, Synchronised: true, MaxError: time.Millisecond}}
		for _, f := range fields[2:] {
			name, value, _ := strings.Cut(f, "=")
			if err := setField(&ev, name, value); err != nil {
				return nil, fmt.Errorf("%s: %w", lines.Text(), err)
			}
		}
		events = append(events, ev)
	}
	return events, nil
}

// parseAt reads when an event was.
func parseAt(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	return epoch.Add(time.Duration(sec) * time.Second), err
}

func setField(ev *journal.Event, name, value string) (err error) {
	if value, err = strconv.Unquote(`"` + value + `"`); err != nil {
		return err
	}
	switch name {
	case "id":
		ev.ContainerID = value
		if ev.IfName == "" {
			ev.IfName = "eth0"
		}
	case "ifname":
		ev.IfName = value
	case "netns":
		ev.NetNS = value
	case "inode":
		ev.NetNSID.Inode, err = strconv.ParseUint(value, 10, 64)
	case "made":
		sec, err := strconv.ParseInt(value, 10, 64)
		ev.NetNSID.Made = epoch.UnixNano() + sec*1e9
		return err
	case "source":
		ev.Attributes = []journal.Attribute{{Key: journal.AttributeSource, Value: value}}
	case "pod":
		parts := append(strings.Split(value, "/"), "", "")
		ev.Pod = journal.Pod{Namespace: parts[0], Name: parts[1], UID: parts[2]}
	case "ip":
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return err
		}
		ev.Addresses = append(ev.Addresses, journal.Address{Set: len(ev.Addresses), IP: p.Addr(), Bits: p.Bits(), Gateway: p.Masked().Addr().Next()})
	case "requested":
		ip, err := netip.ParseAddr(value)
		ev.Requested = append(ev.Requested, ip)
		return err
	case "range": // one address and its prefix length, or the first and last with the first one's
		first, last, wide := strings.Cut(value, "-")
		p, err := netip.ParsePrefix(first)
		if err != nil {
			return err
		}
		g := journal.Range{Subnet: p, Start: p.Addr(), End: p.Addr()}
		if wide {
			g.Subnet, g.Gateway = p.Masked(), p.Masked().Addr().Next()
			if g.End, err = netip.ParseAddr(last); err != nil {
				return err
			}
		}
		ev.Ranges = [][]journal.Range{{g}}
		ev.Digest = journal.Hash{1}
	case "subnet":
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return err
		}
		sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: p}}})
		if err != nil {
			return err
		}
		ev.Ranges, ev.Digest = [][]journal.Range{{journal.Range(sets[0][0])}}, journal.Hash{1}
	case "set": // subnet,start,end,gateway
		parts := strings.Split(value, ",")
		p, err := netip.ParsePrefix(parts[0])
		if err != nil || len(parts) != 4 {
			return fmt.Errorf("set %q: %v", value, err)
		}
		ev.Ranges = append(ev.Ranges, []journal.Range{{Subnet: p, Start: netip.MustParseAddr(parts[1]), End: netip.MustParseAddr(parts[2]),
			Gateway: netip.MustParseAddr(parts[3])}})
		if ev.Kind == journal.KindConfig {
			ev.Digest = journal.Hash{1}
		}
	case "cursor":
		ip, err := netip.ParseAddr(value)
		ev.Cursors = append(ev.Cursors, journal.Cursor{Set: len(ev.Cursors), IP: ip})
		return err
	case "text":
		ev.Text = value
	case "config":
		n, err := strconv.ParseUint(value, 10, 64)
		ev.Config = journal.Seq(n)
		return err
	case "reason":
		for ev.Reason = 1; ev.Reason.String() != value; ev.Reason++ {
			if ev.Reason > 20 {
				return fmt.Errorf("no reason %q", value)
			}
		}
	case "boot":
		ev.Boot = journal.BootID{value[0]}
	case "off":
		d, err := time.ParseDuration(value)
		ev.Wall += int64(d)
		ev.Synchronised = false
		return err
	case "blocked":
		ev.Blocked = true
	case "claimed":
		ev.Claimed = epoch.UnixNano() - 1e9
		if value == "now" {
			ev.Claimed = time.Now().UnixNano()
		}
	case "code":
		ev.Code, err = strconv.Atoi(value)
		ev.Text = "full"
	default:
		return fmt.Errorf("no field %q", name)
	}
	return err
}

// makeStore makes a network's store with its marker file, as an ADD does.
func makeStore(dataDir, network string) (dir string, err error) {
	historyDir := filepath.Join(dataDir, historyName)
	dir = filepath.Join(historyDir, network)
	return dir, journal.Create(historyDir, journal.NewStore{Network: network, DataDir: dataDir, Version: "test", AllowNetworkFS: true,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(dataDir, network), id, dir)
		}}, time.Now().Add(10*time.Second))
}

// oldStore makes a store of which no live process knows: its events have the given
// clocks, and the lock file is gone.
func oldStore(dataDir, network string, events []journal.Event) error {
	dir, err := makeStore(dataDir, network)
	if err != nil {
		return err
	}
	meta, err := journal.ReadMeta(dir)
	if err != nil {
		return err
	}
	genesis := journal.Event{Kind: journal.KindGenesis, Clock: journal.Clock{Wall: epoch.UnixNano(), Boot: journal.BootID{1},
		Synchronised: true, MaxError: time.Millisecond}, Origin: journal.Origin{Network: network, Node: "node1", Journal: meta.ID}}
	segment, err := encode(meta.ID, append([]journal.Event{genesis}, events...))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, firstSegment), segment, 0o600); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, "lock"))
}

// encode numbers and chains events and returns them as a segment.
func encode(id journal.ID, events []journal.Event) ([]byte, error) {
	var segment, record []byte
	for i := range events {
		ev := &events[i]
		ev.Seq, ev.Synced = journal.Seq(i+1), journal.Seq(i)
		if i > 0 {
			ev.Prev = journal.RecordHash(record)
		}
		var err error
		if record, err = journal.AppendRecord(nil, id, ev); err != nil {
			return nil, err
		}
		for n := len(record); ; n >>= 7 {
			if n < 0x80 {
				segment = append(segment, byte(n))
				break
			}
			segment = append(segment, byte(n)|0x80)
		}
		segment = append(segment, record...)
	}
	return segment, nil
}

// liveStore makes a store or takes the one that is there, and appends events to it now.
func liveStore(dataDir, network string, events []journal.Event) error {
	dir, err := makeStore(dataDir, network)
	if err != nil {
		return err
	}
	j, err := journal.Open(dir, time.Now().Add(10*time.Second))
	if err != nil {
		return err
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		return err
	}
	for i := range events {
		if err := j.Append(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// snapshotStore writes a snapshot of the store as of event seq, 0 for its end.
func snapshotStore(dir string, seq journal.Seq) error {
	r, err := journal.OpenReader(dir)
	if err != nil {
		return err
	}
	st := state.New()
	for rec, err := range r.Records(0) {
		if err != nil {
			return err
		}
		if err := st.Apply(&rec.Event); err != nil {
			return err
		}
		st.SetHead(journal.RecordHash(rec.Raw))
		if st.Seq() == seq {
			break
		}
	}
	_, err = state.WriteSnapshot(filepath.Join(dir, "snap"), r.Meta().ID, r.Meta().Network, st)
	return err
}

// tree describes every file below dir, so that any change shows.
func tree(dir string) (string, error) {
	var lines []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%s %s %d %s", path, info.Mode(), info.Size(), info.ModTime()))
		return nil
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}
