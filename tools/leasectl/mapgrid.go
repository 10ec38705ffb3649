package main

import (
	"fmt"
	"maps"
	"math/big"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// What is drawn of large regions.
const (
	wholeBits   = 20 // of a region of more than so many bits only those parts are drawn in which something is
	partBits    = 8  // which are as large as that, or larger
	rowsAtMost  = 64 // of signs, of a network; more addresses make a sign rather
	partsAtMost = 64 // of a region
	foldRows    = 4  // so many rows of one sign alone are drawn as one
)

// parsePrefix reads a prefix as people write it.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, usagef("prefix %q: want one such as 10.88.0.0/24 or fd00::/64", text)
	}
	if p.Addr().Is4In6() {
		return p, usagef("prefix %q: write the IPv4 prefix itself", text)
	}
	return p.Masked(), nil
}

func regionOf(p netip.Prefix) region { return region{p.Masked().Addr(), lastOf(p)} }

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// covering returns the smallest prefix that has both addresses.
func covering(first, last netip.Addr) netip.Prefix {
	for bits := first.BitLen(); ; bits-- {
		if p, _ := first.Prefix(bits); bits == 0 || p.Contains(last) {
			return p
		}
	}
}

// regionsOf returns what is looked at: of each range the prefix that covers it, all of its subnet if that is not much larger, and what
// is held, or is a gateway, elsewhere.
func regionsOf(ranges []journal.Range, leases []replay.Holder) []region {
	var all, elsewhere []region
	for _, g := range ranges {
		if !g.Start.IsValid() || !g.End.IsValid() || g.Start.BitLen() != g.End.BitLen() {
			continue // no such range is ever given
		}
		p := covering(g.Start, g.End)
		if sub := g.Subnet.Masked(); sub.IsValid() && p.Bits()-sub.Bits() <= 2 && sub.Contains(p.Addr()) {
			p = sub
		}
		all = append(all, regionOf(p))
		if g.Gateway.IsValid() {
			all = append(all, around(g.Gateway))
		}
	}
	all = merge(all)
	for i := range leases {
		ip := leases[i].Lease.IP
		if _, inside := slices.BinarySearchFunc(all, ip, region.compare); inside {
			continue
		}
		switch n := len(elsewhere); {
		case n == 0 || part(ip) != part(elsewhere[n-1].first):
			elsewhere = append(elsewhere, around(ip))
		case elsewhere[n-1].compare(ip) != 0:
			elsewhere[n-1] = part(ip)
		}
	}
	return merge(append(all, elsewhere...))
}

// compare says whether the region is before an address, has it, or is behind it.
func (r region) compare(ip netip.Addr) int {
	switch {
	case r.last.Less(ip):
		return -1
	case ip.Less(r.first):
		return 1
	}
	return 0
}

// around returns the 16 addresses that an address is one of.
func around(ip netip.Addr) region {
	p, _ := ip.Prefix(ip.BitLen() - 4)
	return regionOf(p)
}

// part returns the addresses that are drawn together where an address is one of them.
func part(ip netip.Addr) region {
	p, _ := ip.Prefix(ip.BitLen() - partBits)
	return regionOf(p)
}

// merge orders regions, and makes one of those that overlap.
func merge(all []region) []region {
	slices.SortFunc(all, compareRegions)
	var merged []region
	for _, r := range all {
		if n := len(merged); n > 0 && r.first.Compare(merged[n-1].last) <= 0 {
			if merged[n-1].last.Less(r.last) {
				merged[n-1].last = r.last
			}
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// bits returns the binary logarithm of how many addresses the region has, rounded up.
func (r region) bits() int {
	n := countAddrs(r.first, r.last)
	return n.Sub(n, big.NewInt(1)).BitLen()
}

// String names the region, by its prefix if it is one.
func (r region) String() string {
	if p := covering(r.first, r.last); regionOf(p) == r {
		return p.String()
	}
	return r.first.String() + " to " + r.last.String()
}

// parts returns what is drawn of a region: all, or where something is held or stands out. more are left out.
func (m *mapped) parts(r region) (parts []region, more int) {
	if r.bits() <= wholeBits {
		return []region{r}, 0
	}
	for i := range m.rows {
		w := &m.rows[i]
		if w.last.Less(r.first) || r.last.Less(w.first) || w.state == replay.StateFree || w.state == replay.StateNotOurs {
			continue
		}
		first, _ := w.first.Prefix(w.first.BitLen() - partBits)
		last, _ := w.last.Prefix(w.first.BitLen() - partBits)
		part := region{first.Addr(), lastOf(last)}
		if part.bits() > partBits && w.state != replay.StateHeld {
			continue // it is named below the picture
		}
		if n := len(parts); n > 0 && part.first.Compare(parts[n-1].last.Next()) <= 0 {
			parts[n-1].last = part.last
			continue
		}
		if len(parts) == partsAtMost {
			more++
			continue
		}
		parts = append(parts, part)
	}
	return parts, more
}

// block is what stands behind one sign.
type block struct {
	states  [replay.StateNotOurs + 1]float64 // addresses, or nanoseconds
	unsure  float64                          // of those held
	unknown bool
}

// add takes in a row, or a part of one.
func (b *block) add(w *row, n float64) {
	b.states[w.state] += n
	if w.state == replay.StateHeld && w.unsure {
		b.unsure += n
	}
	b.unknown = b.unknown || w.state == replay.StateUnknown
}

// look returns how the block is drawn: if any of it is unknown, as unknown.
func (b *block) look() look {
	held := b.states[replay.StateHeld]
	switch {
	case b.unknown:
		return lookUnknown
	case held > 0:
		return shareLook(held, held+b.states[replay.StateFree]+b.states[replay.StateCooling]+b.states[replay.StateReserved], b.unsure == 0)
	}
	for _, s := range []replay.State{replay.StateFree, replay.StateCooling, replay.StateReserved, replay.StateGateway, replay.StateExcluded} {
		if b.states[s] > 0 {
			return stateLooks[s]
		}
	}
	return lookNotOurs
}

// looksOf returns the signs of a part, each of which stands for 2^bits addresses.
func (m *mapped) looksOf(part region, bits int) []look {
	var all []look
	i, _ := slices.BinarySearchFunc(m.rows, part.first, func(w row, ip netip.Addr) int { return region{w.first, w.last}.compare(ip) })
	for ip := part.first; ip.IsValid() && ip.Compare(part.last) <= 0; {
		p, _ := ip.Prefix(ip.BitLen() - bits)
		last := lesser(lastOf(p), part.last)
		var b block
		for from := ip; i < len(m.rows); i++ {
			w := &m.rows[i]
			if w.first.Compare(last) > 0 {
				break
			}
			to := lesser(w.last, last)
			n, _ := countAddrs(greater(from, w.first), to).Float64()
			b.add(w, n)
			if w.last.Compare(last) > 0 {
				break // its rest is the next block's
			}
		}
		all = append(all, b.look())
		ip = last.Next()
	}
	return all
}

func greater(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

// drawn is a picture of one store while it is laid out.
type drawn struct {
	*mapped
	sc    *screen
	seen  [looks]bool
	bits  int // of addresses to a sign
	signs int // to a row
	label func(netip.Addr) string
	wide  int // of labels
}

// draw draws the network. pictures are how many share the screen.
func (m *mapped) draw(p *picture, sc *screen, pictures int) {
	m.head(p, sc)
	if len(m.regions) == 0 {
		p.add(sc.wrap(m.nothing(), 0)...)
		return
	}
	var parts []region
	more := 0
	for _, r := range m.regions {
		some, left := m.parts(r)
		parts, more = append(parts, some...), more+left
	}
	d := &drawn{mapped: m, sc: sc}
	d.layOut(parts, pictures)
	for _, part := range parts {
		d.part(p, part)
	}
	if more > 0 {
		p.add(sc.wrap(fmt.Sprintf("%s in which something is held are not drawn: --cidr draws one", count(more, "more part")), 0)...)
	}
	d.rest(p, parts)
	p.add(sc.legend(&d.seen, "some held")...)
}

// nothing says why there is no picture.
func (m *mapped) nothing() string {
	if m.certainty == replay.Unknown {
		return "unknown: nothing tells which addresses the network gives out, or what is held of them"
	}
	return "no address is held, and no ranges are recorded"
}

// head says what is drawn, in words.
func (m *mapped) head(p *picture, sc *screen) {
	p.add(sc.title(fmt.Sprintf("%s at %s", m.onNode(), stamp(m.at)))...)
	families := map[string]func(netip.Addr) bool{"": netip.Addr.IsValid}
	if n := len(m.rows); n > 0 && m.rows[0].first.Is4() && m.rows[n-1].first.Is6() { // their sum would tell nothing
		families = map[string]func(netip.Addr) bool{"IPv4: ": netip.Addr.Is4, "IPv6: ": netip.Addr.Is6}
	}
	text := ""
	for _, name := range slices.Sorted(maps.Keys(families)) {
		text += name + m.numbers(families[name]) + "; "
	}
	certainty := m.certainty.String()
	p.add(sc.certain(sc.wrap(text+certainty, 2), certainty)...)
}

// numbers says how many of the addresses that are meant are held, free and unknown.
func (m *mapped) numbers(means func(netip.Addr) bool) string {
	by, _, unsure := m.counts(means)
	n := func(s replay.State) *big.Int {
		if by[s] == nil {
			return new(big.Int)
		}
		return by[s]
	}
	held, unknown := n(replay.StateHeld), n(replay.StateUnknown)
	text := fmt.Sprintf("%s held", held)
	if unknown.Sign() > 0 {
		text = "at least " + text
	}
	if unsure.Sign() > 0 {
		text += fmt.Sprintf(" (%s uncertain)", unsure)
	}
	if m.known && unknown.Sign() > 0 {
		text += fmt.Sprintf(", %s free", n(replay.StateFree))
	} else if m.known {
		capacity := new(big.Int).Add(n(replay.StateHeld), n(replay.StateFree))
		for _, s := range []replay.State{replay.StateCooling, replay.StateReserved} {
			capacity.Add(capacity, n(s))
		}
		text += fmt.Sprintf(", %s free, of %s", n(replay.StateFree), capacity)
	}
	switch {
	case unknown.Sign() > 0 && held.Sign() == 0:
		text = fmt.Sprintf("%s unknown", unknown)
	case unknown.Sign() > 0:
		text += fmt.Sprintf(", %s unknown", unknown)
	}
	return text
}

// layOut chooses how many addresses make a sign, how many signs a row, and how rows are labelled.
func (d *drawn) layOut(parts []region, pictures int) {
	full := func(ip netip.Addr) string { return ip.String() }
	d.label, d.wide = full, d.widest(parts, full)
	d.signs = signsIn(d.sc.width - d.wide - 1)
	if short := shortLabels(parts); short != nil {
		if wide := d.widest(parts, short); signsIn(d.sc.width-wide-1) > d.signs {
			d.label, d.wide = short, wide
			d.signs = signsIn(d.sc.width - wide - 1)
		}
	}
	rows := rowsAtMost
	if d.sc.height > 0 {
		const words = 6 // lines of head and legend
		rows = max(1, min(rows, d.sc.height/max(1, pictures)-words-2*len(parts)))
	}
	for d.bits = 0; d.height(parts) > rows && d.bits < wholeBits; d.bits++ {
	}
	if d.wide > d.sc.width-4 { // labels stand above their rows
		d.signs = signsIn(d.sc.width)
	}
}

// signsIn returns how many signs make a row of so many columns: a power of two, so that rows begin with round addresses.
func signsIn(columns int) int {
	n := 4
	for n*2 <= columns && n < 128 {
		n *= 2
	}
	return n
}

// scale returns the bits of the addresses to a sign of a part: what fits in a row is drawn in more detail.
func (d *drawn) scale(part region) int {
	return min(d.bits, max(0, part.bits()-bits.Len(uint(d.signs))+1))
}

// height returns how many rows the parts make.
func (d *drawn) height(parts []region) int {
	n := 0
	for _, part := range parts {
		signs := 1 << max(0, part.bits()-d.scale(part))
		n += (signs + d.signs - 1) / d.signs
	}
	return n
}

// widest returns the width of the widest label: that of the last row, or of the first.
func (d *drawn) widest(parts []region, label func(netip.Addr) string) int {
	n := 0
	for _, part := range parts {
		n = max(n, len(label(part.first)), len(label(part.last)))
	}
	return n
}

// shortLabels returns labels without what all addresses of each part begin with, which stands above it; nil if there is nothing
// to leave out.
func shortLabels(parts []region) func(netip.Addr) string {
	for _, part := range parts {
		if part.first.Is6() && part.bits() > 16 {
			return nil
		}
	}
	return func(ip netip.Addr) string {
		if ip.Is6() {
			b := ip.As16()
			return fmt.Sprintf(":%x", int(b[14])<<8|int(b[15]))
		}
		keep := 1
		for _, part := range parts {
			if part.first.Is4() {
				keep = max(keep, (part.bits()+7)/8)
			}
		}
		fields := strings.Split(ip.String(), ".")
		return "." + strings.Join(fields[len(fields)-min(keep, 3):], ".")
	}
}

// part draws one part, below a line that says how.
func (d *drawn) part(p *picture, part region) {
	bits := d.scale(part)
	scale := "one sign is one address"
	if bits > 0 {
		scale = fmt.Sprintf("one sign is %d addresses", 1<<bits)
	}
	p.add(d.sc.wrap(part.String()+": "+scale, 2)...)
	all := d.looksOf(part, bits)
	ip, step := part.first, 1<<bits
	for len(all) > 0 {
		n := min(d.signs, len(all))
		text := d.sc.draw(all[:n])
		if d.wide > d.sc.width-4 {
			p.add(d.label(ip), text)
		} else {
			p.addf("%*s %s", d.wide, d.label(ip), text)
		}
		for _, l := range all[:n] {
			d.seen[l] = true
		}
		ip = skip(ip, n*step)
		one := all[0]
		if n < d.signs || slices.ContainsFunc(all[:n], func(l look) bool { return l != one }) {
			all = all[n:]
			continue
		}
		all = all[n:]
		same := 0
		for len(all) >= (same+1)*d.signs && !slices.ContainsFunc(all[same*d.signs:(same+1)*d.signs], func(l look) bool { return l != one }) {
			same++
		}
		if same >= foldRows {
			p.add(d.sc.paint(faint, d.folded(same, one)))
			ip, all = skip(ip, same*d.signs*step), all[same*d.signs:]
		}
	}
}

// folded is the line that stands for rows which are not drawn, and says what they are like. It moves to the left, below the
// addresses, where there is no room for it behind them.
func (d *drawn) folded(rows int, l look) string {
	what := "like it"
	if int(l) < len(lookNames) {
		what = lookNames[l]
	}
	short := fmt.Sprintf(" ... %d rows", rows)
	text := short + " " + what
	if len(text) > d.sc.width-d.wide {
		text = short
	}
	return fmt.Sprintf("%*s%s", max(0, min(d.wide, d.sc.width-len(text))), "", text)
}

// skip returns the address n behind another; the zero Addr beyond the last.
func skip(ip netip.Addr, n int) netip.Addr {
	sum := new(big.Int).Add(new(big.Int).SetBytes(ip.AsSlice()), big.NewInt(int64(n)))
	b := make([]byte, ip.BitLen()/8)
	if sum.BitLen() > ip.BitLen() {
		return netip.Addr{}
	}
	next, _ := netip.AddrFromSlice(sum.FillBytes(b))
	return next
}

// rest says what the addresses are that no part shows.
func (d *drawn) rest(p *picture, parts []region) {
	left := map[replay.State]*big.Int{}
	for i := range d.mapped.rows {
		w := &d.mapped.rows[i]
		n := countAddrs(w.first, w.last)
		for _, part := range parts {
			if first, last := greater(w.first, part.first), lesser(w.last, part.last); first.BitLen() == last.BitLen() && first.Compare(last) <= 0 {
				n.Sub(n, countAddrs(first, last))
			}
		}
		if n.Sign() > 0 {
			if left[w.state] == nil {
				left[w.state] = new(big.Int)
			}
			left[w.state].Add(left[w.state], n)
		}
	}
	var texts []string
	for s := replay.StateUnknown; s <= replay.StateNotOurs; s++ {
		if left[s] != nil {
			l := stateLooks[s]
			d.seen[l] = true
			texts = append(texts, fmt.Sprintf("%c %s %s", d.sc.signs.of[l], left[s], s))
		}
	}
	if len(texts) > 0 {
		p.add(d.sc.wrap("not drawn: "+strings.Join(texts, ", "), 2)...)
	}
}
