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
	// packChunk is how much is packed by itself, beside other such chunks. A page of a day is one.
	packChunk = 4 << 20
)

// gzipHead is what a gzip stream begins with: no name, no time, an unknown system.
var gzipHead = [...]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// pack writes data as one gzip stream, made of chunks of a size. Browsers read nothing behind the first one, so that its chunks can't be streams of their own: each is flushed
// to a whole byte, and they follow one another. The same data gives the same bytes.
func pack(w io.Writer, data []byte, chunk int) error {
	chunks := make([]bytes.Buffer, max((len(data)+chunk-1)/chunk, 1))
	errs := make([]error, len(chunks))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var packing sync.WaitGroup
	for i := range chunks {
		slots <- struct{}{}
		packing.Go(func() {
			errs[i] = deflate(&chunks[i], data[i*chunk:min((i+1)*chunk, len(data))], i == len(chunks)-1)
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
	end := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
	_, err := w.Write(binary.LittleEndian.AppendUint32(end, uint32(len(data))))
	return err
}

func deflate(to *bytes.Buffer, chunk []byte, last bool) error {
	z, err := flate.NewWriter(to, packLevel)
	if err != nil {
		return err
	}
	if _, err := z.Write(chunk); err != nil {
		return err
	}
	if last {
		return z.Close()
	}
	return z.Flush()
}
