package report

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// packLevel is the one above which packing takes long and gains little.
	packLevel = 7
	// longLevel is that of data of more than longChunks chunks: it takes two fifths of the time and leaves a twentieth more.
	longLevel  = 6
	longChunks = 4
	// packChunk is how much is packed by itself, beside other such chunks. A page of a day is one.
	packChunk = 4 << 20
)

// gzipHead is what a gzip stream begins with: no name, no time, an unknown system.
var gzipHead = [...]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// pack writes data, which is in parts, as one gzip stream, made of chunks of a size. Browsers read nothing behind the first one, so that its chunks can't be
// streams of their own: each is flushed to a whole byte, and they follow one another. The same data gives the same bytes.
func pack(w io.Writer, parts [][]byte, chunk int) error {
	cut := chunksOf(parts, chunk)
	level := packLevel
	if len(cut) > longChunks {
		level = longLevel
	}
	chunks, errs := make([]bytes.Buffer, len(cut)), make([]error, len(cut))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var packing sync.WaitGroup
	for i := range chunks {
		slots <- struct{}{}
		packing.Go(func() {
			errs[i] = deflate(&chunks[i], cut[i], level, i == len(chunks)-1)
			<-slots
		})
	}
	packing.Wait()
	if _, err := w.Write(gzipHead[:]); err != nil {
		return err
	}
	for i := range chunks {
		if errs[i] != nil {
			return errs[i]
		}
		if _, err := chunks[i].WriteTo(w); err != nil {
			return err
		}
	}
	sum, size := uint32(0), 0
	for _, part := range parts {
		sum, size = crc32.Update(sum, crc32.IEEETable, part), size+len(part)
	}
	end := binary.LittleEndian.AppendUint32(nil, sum)
	_, err := w.Write(binary.LittleEndian.AppendUint32(end, uint32(size)))
	return err
}

// chunksOf cuts data that is in parts into chunks of a size, each in parts. There is at least one.
func chunksOf(parts [][]byte, size int) [][][]byte {
	chunks, room := [][][]byte{nil}, size
	for _, part := range parts {
		for len(part) > 0 {
			if room == 0 {
				chunks, room = append(chunks, nil), size
			}
			n := min(room, len(part))
			last := &chunks[len(chunks)-1]
			*last = append(*last, part[:n])
			part, room = part[n:], room-n
		}
	}
	return chunks
}

func deflate(to *bytes.Buffer, chunk [][]byte, level int, last bool) error {
	size := 0
	for _, part := range chunk {
		size += len(part)
	}
	to.Grow(size / 2) // mostly enough
	z, err := flate.NewWriter(to, level)
	if err != nil {
		return err
	}
	for _, part := range chunk {
		if _, err := z.Write(part); err != nil {
			return err
		}
	}
	if last {
		return z.Close()
	}
	return z.Flush()
}
