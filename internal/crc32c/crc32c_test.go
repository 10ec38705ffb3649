package crc32c

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestAgainstLibrary compares with hash/crc32 at all short lengths and alignments, and across the change to it.
func TestAgainstLibrary(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 70_000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	check := func(seed uint32, p []byte) {
		t.Helper()
		want := crc32.Update(seed, table, p)
		if got := byTable(seed, p); got != want {
			t.Fatalf("byTable of %d bytes = %08x, want %08x", len(p), got, want)
		}
		if got := Update(seed, p); got != want {
			t.Fatalf("Update of %d bytes = %08x, want %08x", len(p), got, want)
		}
	}
	for n := range 100 {
		for at := range 9 {
			check(r.Uint32(), b[at:at+n])
		}
	}
	done.Store(0)
	for before := done.Load(); done.Load() < bulk; before = done.Load() {
		check(r.Uint32(), b)
		if done.Load() == before {
			t.Fatal("nothing went through the table")
		}
	}
	check(0, b)
	if got, want := Checksum([]byte("123456789")), uint32(0xe3069283); got != want { // RFC 3720, B.4, and everywhere
		t.Errorf("Checksum = %08x, want %08x", got, want)
	}
	for range 100 {
		seed, v := r.Uint32(), r.Uint32()
		if got, want := UpdateUint32(seed, v), crc32.Update(seed, table, binary.BigEndian.AppendUint32(nil, v)); got != want {
			t.Fatalf("UpdateUint32 = %08x, want %08x", got, want)
		}
		wide := r.Uint64()
		if got, want := UpdateUint64(seed, wide), crc32.Update(seed, table, binary.BigEndian.AppendUint64(nil, wide)); got != want {
			t.Fatalf("UpdateUint64 = %08x, want %08x", got, want)
		}
	}
}

// TestConcurrent has many go from the table to the library at once.
func TestConcurrent(t *testing.T) {
	done.Store(0)
	b := make([]byte, 10_000)
	want := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 30 {
				if got := Checksum(b); got != want {
					t.Errorf("Checksum = %08x, want %08x", got, want)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkUpdate(b *testing.B) {
	p := make([]byte, 4088)
	for name, update := range map[string]func(uint32, []byte) uint32{"table": byTable, "library": func(crc uint32, p []byte) uint32 {
		return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), p)
	}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				update(0, p)
			}
		})
	}
}
