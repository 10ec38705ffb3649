package archive

import (
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Decode hands bytes to one of the decoders that stand behind checksums, and returns what that says of them.
func Decode(path string, id journal.ID, which byte, b []byte) error {
	switch which % 6 {
	case 0:
		_, err := parseFooter(b)
		return err
	case 1:
		t, err := parseTemplate(b)
		if err != nil {
			return err
		}
		f := new(filler)
		dst, vars, text, err := f.fill(nil, t.first, b, b)
		if err == nil {
			_, _, _, err = f.fill(dst, t.second, vars, text)
		}
		return err
	case 2:
		r, m := markReader{numbers: numbers{b: b}, seq: 1, boots: make([]journal.BootID, 64)}, mark{}
		for r.next(&m) {
		}
		return r.err
	case 3:
		_, err := framesOf(b, []byte{10, 0, 0, 7})
		return err
	case 4:
		mayHold(b, uint64(len(b))*0x9e3779b97f4a7c15)
		return nil
	}
	return decodeFrame(path, id, b)
}

// decodeFrame takes bytes for those of the first frame of a file: columns, and after half of them the values.
func decodeFrame(path string, id journal.ID, b []byte) error {
	f, err := openFile(path, id)
	if err != nil {
		return err
	}
	defer f.close()
	fr := &frame{f: f, first: f.head.first, n: int(min(frameEvents, f.head.last-f.head.first+1))}
	if err := fr.parse(b[:len(b)/2], b[len(b)/2:]); err != nil {
		return err
	}
	for w := (builder{fr: fr}); fr.at < fr.n; {
		if _, _, err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// Plain returns the columns and the values of the first frame of a file, and the other things that Decode decodes, as they are in a
// file: what to begin with.
func Plain(path string, id journal.ID) (seeds [][]byte, err error) {
	f, err := openFile(path, id)
	if err != nil {
		return nil, err
	}
	defer f.close()
	h := f.head
	footer := h.encode()
	seeds = append(seeds, footer[:len(footer)-trailerBytes])
	rows, err := f.table(sectionTemplates, templateRow)
	if err != nil {
		return nil, err
	}
	templates, err := f.unpack(readChunk(rows[4:]))
	if err != nil {
		return nil, err
	}
	r := numbers{b: templates}
	seeds = append(seeds, r.take(int(r.number())))
	if rows, err = f.table(sectionMarks, markRow); err != nil {
		return nil, err
	}
	marks, err := f.unpack(readChunk(rows[8:]))
	if err != nil {
		return nil, err
	}
	if rows, err = f.table(sectionAddresses, addressRow); err != nil {
		return nil, err
	}
	addresses, err := f.unpack(readChunk(rows[17:]))
	if err != nil {
		return nil, err
	}
	if rows, err = f.table(sectionFilters, filterRow); err != nil {
		return nil, err
	}
	filter, err := f.read(readChunk(rows[4:]), maxChunk, nil)
	if err != nil {
		return nil, err
	}
	fr, err := f.openFrame(0)
	if err != nil {
		return nil, err
	}
	columns := append([]byte(nil), fr.plain...)
	for len(columns) < len(fr.raw) {
		columns = append(columns, 0) // so that half of all is where the values begin
	}
	return append(seeds, marks, addresses, filter, append(columns, fr.raw...)), nil
}

// AllHex and AppendDigits read and make hex digits.
var (
	AllHex       = allHex
	AppendDigits = appendDigits
)

// Spoils name what PackSpoilt does wrongly.
var Spoils = []string{"address left out", "address in another frame", "mark left out", "mark with another clock", "kinds", "boots", "first clock",
	"hash before", "filter", "clock of a frame", "identity of a frame", "whole frame", "identities", "previous", "digest"}

// PackSpoilt packs as Pack does, but for one thing: what is wrong in the file stands under right checksums.
func PackSpoilt(path string, meta journal.Meta, first, last journal.Seq, source Source, o Options, spoil string) error {
	_, _, err := pack(path, meta, first, last, source, o, func(p *packing) {
		switch spoil {
		case "address left out":
			p.addrs.sort()
			p.addrs.v4 = p.addrs.v4[1:]
		case "address in another frame":
			p.addrs.sort()
			p.addrs.v4[0] += 1000
		case "mark left out":
			p.marks.marks = slices.DeleteFunc(p.marks.marks, func(m mark) bool { return m.seq == first })
		case "mark with another clock":
			for i := range p.marks.marks {
				if p.marks.marks[i].seq == first {
					p.marks.marks[i].clock.Wall++
				}
			}
		case "kinds":
			p.head.kinds[journal.KindAdd]++
		case "boots":
			p.head.boots[0].Last--
		case "first clock":
			p.head.from.Wall++
		case "hash before":
			p.head.before[0] ^= 1
		case "filter":
			p.w.idents.filter.keys = p.w.idents.filter.keys[:0]
		case "clock of a frame":
			p.frames[32+chunkRow+4+7] ^= 1
		case "identity of a frame":
			p.frames[frameRow+32+chunkRow+3] ^= 1
		case "whole frame":
			p.frames[frameRow-1] ^= 1
		case "identities":
			p.w.idents.next++
		case "digest":
			p.w.sum.Write([]byte{0})
		case "previous":
			p.head.previous[0] ^= 1
		}
	})
	return err
}
