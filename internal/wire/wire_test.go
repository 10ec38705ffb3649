package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestForms checks that each value is written in its shortest form and read back from it,
// and that the msgpack library reads the same.
func TestForms(t *testing.T) {
	addr4, addr6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::3")
	number := func(v uint64) func(d *wire.Decoder) bool {
		return func(d *wire.Decoder) bool { return d.Uint() == v }
	}
	str := func(n int) func(d *wire.Decoder) bool {
		return func(d *wire.Decoder) bool { s := d.Str(); return len(s) == n && strings.Trim(s, "s") == "" }
	}
	bin := func(n int) func(d *wire.Decoder) bool {
		return func(d *wire.Decoder) bool { return bytes.Equal(d.Bin(), bytes.Repeat([]byte{7}, n)) }
	}
	addr := func(a netip.Addr) func(d *wire.Decoder) bool {
		return func(d *wire.Decoder) bool { return d.AddrOrNil() == a }
	}
	tests := []struct {
		name string
		b    []byte
		head string // hex digits that b begins with
		size int
		read func(d *wire.Decoder) bool
	}{
		{"0", wire.AppendUint(nil, 0), "00", 1, number(0)},
		{"127", wire.AppendUint(nil, 127), "7f", 1, number(127)},
		{"128", wire.AppendUint(nil, 128), "cc80", 2, number(128)},
		{"255", wire.AppendUint(nil, 255), "ccff", 2, number(255)},
		{"256", wire.AppendUint(nil, 256), "cd0100", 3, number(256)},
		{"65535", wire.AppendUint(nil, 65535), "cdffff", 3, number(65535)},
		{"65536", wire.AppendUint(nil, 65536), "ce00010000", 5, number(65536)},
		{"32 bits", wire.AppendUint(nil, math.MaxUint32), "ceffffffff", 5, number(math.MaxUint32)},
		{"33 bits", wire.AppendUint(nil, 1<<32), "cf0000000100000000", 9, number(1 << 32)},
		{"64 bits", wire.AppendUint(nil, math.MaxUint64), "cfffffffffffffffff", 9, number(math.MaxUint64)},
		{"fixed32", wire.AppendFixed32(nil, 1), "ce00000001", 5, func(d *wire.Decoder) bool { return d.Fixed32() == 1 }},
		{"fixed64", wire.AppendFixed64(nil, msgpcode.Uint64, 1), "cf0000000000000001", 9,
			func(d *wire.Decoder) bool { return d.Fixed64(msgpcode.Uint64) == 1 }},
		{"negative", wire.AppendFixed64(nil, msgpcode.Int64, ^uint64(0)), "d3ffffffffffffffff", 9,
			func(d *wire.Decoder) bool { return int64(d.Fixed64(msgpcode.Int64)) == -1 }},
		{"false", wire.AppendBool(nil, false), "c2", 1, func(d *wire.Decoder) bool { return !d.Bool() }},
		{"true", wire.AppendBool(nil, true), "c3", 1, func(d *wire.Decoder) bool { return d.Bool() }},
		{"empty string", wire.AppendString(nil, ""), "a0", 1, str(0)},
		{"string of 31", wire.AppendString(nil, strings.Repeat("s", 31)), "bf73", 32, str(31)},
		{"string of 32", wire.AppendString(nil, strings.Repeat("s", 32)), "d92073", 34, str(32)},
		{"string of 255", wire.AppendString(nil, strings.Repeat("s", 255)), "d9ff73", 257, str(255)},
		{"string of 256", wire.AppendString(nil, strings.Repeat("s", 256)), "da010073", 259, str(256)},
		{"string of 65535", wire.AppendString(nil, strings.Repeat("s", 65535)), "daffff73", 65538, str(65535)},
		{"empty bin", wire.AppendBin(nil, nil), "c400", 2, bin(0)},
		{"bin of 255", wire.AppendBin(nil, bytes.Repeat([]byte{7}, 255)), "c4ff07", 257, bin(255)},
		{"bin of 256", wire.AppendBin(nil, bytes.Repeat([]byte{7}, 256)), "c5010007", 259, bin(256)},
		{"no address", wire.AppendAddr(nil, netip.Addr{}), "c0", 1, addr(netip.Addr{})},
		{"IPv4", wire.AppendAddr(nil, addr4), "c4040a010203", 6, addr(addr4)},
		{"IPv6", wire.AppendAddr(nil, addr6), "c41020010db8", 18, addr(addr6)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.b) != tt.size || !bytes.HasPrefix(tt.b, unhex(t, tt.head)) {
				t.Fatalf("got %.20x of %d bytes, want %s of %d", tt.b, len(tt.b), tt.head, tt.size)
			}
			var v any
			if err := msgpack.Unmarshal(tt.b, &v); err != nil {
				t.Errorf("the library: %v", err)
			}
			for _, text := range []string{"", string(tt.b)} {
				d := wire.NewDecoder(tt.b, text)
				if ok := tt.read(&d); !ok || d.Err() != nil || d.Offset() != tt.size {
					t.Errorf("read back: %t, %v at %d", ok, d.Err(), d.Offset())
				}
			}
			for n := range tt.b {
				d := wire.NewDecoder(tt.b[:n], "")
				if tt.read(&d); !errors.Is(d.Err(), wire.ErrShort) {
					t.Fatalf("the first %d bytes: got %v, want ErrShort", n, d.Err())
				}
			}
		})
	}
}

func TestHeads(t *testing.T) {
	tests := []struct {
		n            int
		array, pairs string
	}{
		{0, "90", "80"}, {1, "91", "81"}, {15, "9f", "8f"}, {16, "dc0010", "de0010"}, {65535, "dcffff", "deffff"},
	}
	for _, tt := range tests {
		elements := make([]byte, 2*tt.n)
		b := wire.AppendArray(nil, tt.n)
		if got := hex.EncodeToString(b); got != tt.array {
			t.Errorf("array of %d: got %s, want %s", tt.n, got, tt.array)
		}
		d := wire.NewDecoder(append(b, elements...), "")
		if got := d.Array(); got != tt.n || d.Err() != nil {
			t.Errorf("array of %d: read %d, %v", tt.n, got, d.Err())
		}
		d = wire.NewDecoder(append(b, elements...), "")
		if d.Tuple(tt.n + 1); !errors.Is(d.Err(), wire.ErrShape) {
			t.Errorf("array of %d as tuple of %d: got %v, want ErrShape", tt.n, tt.n+1, d.Err())
		}
		b = wire.AppendMap(nil, tt.n)
		if got := hex.EncodeToString(b); got != tt.pairs {
			t.Errorf("map of %d: got %s, want %s", tt.n, got, tt.pairs)
		}
		d = wire.NewDecoder(append(b, elements...), "")
		if got := d.Map(); got != tt.n || d.Err() != nil {
			t.Errorf("map of %d: read %d, %v", tt.n, got, d.Err())
		}
	}
}

// readers are all methods that read one value, by name.
var readers = map[string]func(d *wire.Decoder){
	"Uint":      func(d *wire.Decoder) { d.Uint() },
	"AtMost":    func(d *wire.Decoder) { d.AtMost(1000) },
	"Fixed32":   func(d *wire.Decoder) { d.Fixed32() },
	"Fixed64":   func(d *wire.Decoder) { d.Fixed64(msgpcode.Uint64) },
	"Bool":      func(d *wire.Decoder) { d.Bool() },
	"Str":       func(d *wire.Decoder) { d.Str() },
	"StrBytes":  func(d *wire.Decoder) { d.StrBytes() },
	"Bin":       func(d *wire.Decoder) { d.Bin() },
	"Array":     func(d *wire.Decoder) { d.Array() },
	"Map":       func(d *wire.Decoder) { d.Map() },
	"Tuple":     func(d *wire.Decoder) { d.Tuple(2) },
	"Addr":      func(d *wire.Decoder) { d.Addr() },
	"AddrOrNil": func(d *wire.Decoder) { d.AddrOrNil() },
	"Skip":      func(d *wire.Decoder) { d.Skip() },
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, method, input string
		want                error
		offset              int
	}{
		{"127 in 2 bytes", "Uint", "cc7f", wire.ErrNotMin, 2},
		{"255 in 3 bytes", "Uint", "cd00ff", wire.ErrNotMin, 3},
		{"65535 in 5 bytes", "Uint", "ce0000ffff", wire.ErrNotMin, 5},
		{"32 bits in 9 bytes", "Uint", "cf00000000ffffffff", wire.ErrNotMin, 9},
		{"int8", "Uint", "d001", wire.ErrShape, 1},
		{"negative fixint", "Uint", "ff", wire.ErrShape, 1},
		{"nil as number", "Uint", "c0", wire.ErrShape, 1},
		{"1001 of 1000", "AtMost", "cd03e9", wire.ErrRange, 3},
		{"fixed32 in short form", "Fixed32", "01 00000000", wire.ErrShape, 1},
		{"fixed64 of another sign", "Fixed64", "d30000000000000001", wire.ErrShape, 1},
		{"1 as true", "Bool", "01", wire.ErrShape, 1},
		{"nil as false", "Bool", "c0", wire.ErrShape, 1},
		{"31 in str8", "Str", "d91f" + strings.Repeat("61", 31), wire.ErrNotMin, 2},
		{"255 in str16", "StrBytes", "da00ff" + strings.Repeat("61", 255), wire.ErrNotMin, 3},
		{"bin as string", "Str", "c40161", wire.ErrShape, 1},
		{"str32", "Str", "db0000000161", wire.ErrShape, 1},
		{"255 in bin16", "Bin", "c500ff" + strings.Repeat("61", 255), wire.ErrNotMin, 3},
		{"string as bin", "Bin", "a161", wire.ErrShape, 1},
		{"15 in array16", "Array", "dc000f" + strings.Repeat("00", 15), wire.ErrNotMin, 3},
		{"array32", "Array", "dd00000001 00", wire.ErrShape, 1},
		{"map as array", "Array", "81 0000", wire.ErrShape, 1},
		{"tuple of 1", "Tuple", "91 0000", wire.ErrShape, 1},
		{"15 in map16", "Map", "de000f" + strings.Repeat("00", 30), wire.ErrNotMin, 3},
		{"array as map", "Map", "91 0000", wire.ErrShape, 1},
		{"address of 5 bytes", "Addr", "c4050a01020304", wire.ErrAddress, 7},
		{"empty address", "Addr", "c400", wire.ErrAddress, 2},
		{"4in6 address", "Addr", "c410 00000000000000000000ffff0a010203", wire.ErrAddress, 18},
		{"nil address", "Addr", "c0", wire.ErrShape, 1},
		{"false as address", "AddrOrNil", "c2", wire.ErrShape, 1},
		{"skip of an extension", "Skip", "d401ff", wire.ErrShape, 1},
		{"skip of the unused code", "Skip", "c1", wire.ErrShape, 1},
		{"skip of 10 arrays", "Skip", strings.Repeat("91", 9) + "9000", wire.ErrDepth, 9},
		{"skip of half a map", "Skip", "82 0000 00", wire.ErrShort, 4},
		// What is promised and not there.
		{"long string", "Str", "daffff61", wire.ErrShort, 3},
		{"long bytes", "StrBytes", "bf61", wire.ErrShort, 1},
		{"long bin", "Bin", "c5ffff61", wire.ErrShort, 3},
		{"long array", "Array", "dcffff00", wire.ErrShort, 3},
		{"array without its last element", "Array", "9300 00", wire.ErrShort, 1},
		{"map without its last value", "Map", "8200 0000", wire.ErrShort, 1},
		{"long map", "Map", "deffff00", wire.ErrShort, 3},
		{"long address", "Addr", "c4100a", wire.ErrShort, 2},
		{"long skip", "Skip", "daffff61", wire.ErrShort, 3},
		{"long skipped array", "Skip", "dcffff 00 91", wire.ErrShort, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := wire.NewDecoder(unhex(t, tt.input), "")
			readers[tt.method](&d)
			if !errors.Is(d.Err(), tt.want) || d.Offset() != tt.offset {
				t.Errorf("%s: got %v at %d, want %v at %d", tt.method, d.Err(), d.Offset(), tt.want, tt.offset)
			}
		})
	}
}

// TestRefusalsAllocateNothing checks that lengths which only the input promises take no memory.
func TestRefusalsAllocateNothing(t *testing.T) {
	var d wire.Decoder // one for all: calling by name makes it escape
	for _, input := range []string{"daffff61", "d9ff61", "bf61", "c5ffff61", "c4ff61", "dcffff00", "9f00", "deffff00", "8f00",
		"db7fffffff61", "c67fffffff61", "dd7fffffff00", "df7fffffff00", "c8ffff0161", "ce00"} {
		b := unhex(t, input)
		for name, read := range readers {
			allocs := testing.AllocsPerRun(10, func() {
				d = wire.NewDecoder(b, "")
				read(&d)
				if d.Err() == nil {
					t.Errorf("%s accepts %s", name, input)
				}
			})
			if allocs != 0 {
				t.Errorf("%s allocates %v times for %s", name, allocs, input)
			}
		}
	}
}

func TestFirstErrorSticks(t *testing.T) {
	input := []byte{0x01, 0xc1, 0x02, 0x03}
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			d := wire.NewDecoder(input, string(input))
			if got := d.Uint(); got != 1 {
				t.Fatalf("got %d, want 1", got)
			}
			d.Fail(wire.ErrRange)
			d.Fail(wire.ErrAddress)
			read(&d)
			d.End()
			if d.Take(2) != nil || d.Null() || d.Code() != msgpcode.Nil || d.Str() != "" {
				t.Error("something was left to read")
			}
			if !errors.Is(d.Err(), wire.ErrRange) || d.Offset() != 1 || len(d.Rest()) != 0 {
				t.Errorf("got %v at %d with %x left, want ErrRange at 1", d.Err(), d.Offset(), d.Rest())
			}
		})
	}
}

func TestEnd(t *testing.T) {
	d := wire.NewDecoder([]byte{1, 2}, "")
	d.Uint()
	if got := d.Rest(); !bytes.Equal(got, []byte{2}) {
		t.Errorf("rest is %x, want 02", got)
	}
	whole := d
	d.End()
	if !errors.Is(d.Err(), wire.ErrTrailing) || d.Offset() != 1 {
		t.Errorf("got %v at %d, want ErrTrailing at 1", d.Err(), d.Offset())
	}
	whole.Uint()
	if whole.End(); whole.Err() != nil {
		t.Errorf("after the last byte: %v", whole.Err())
	}
}

// TestTake checks that no result can be appended to over what follows it.
func TestTake(t *testing.T) {
	input := []byte{0xc4, 1, 7, 0xa1, 's', 8, 9}
	d := wire.NewDecoder(input, "")
	for _, v := range [][]byte{d.Bin(), d.StrBytes(), d.Since(0), d.Take(1)} {
		if len(v) != cap(v) {
			t.Errorf("%x has room for %d bytes", v, cap(v)-len(v))
		}
	}
	if v := d.Take(-1); v != nil || !errors.Is(d.Err(), wire.ErrShort) {
		t.Errorf("Take(-1) = %x, %v", v, d.Err())
	}
}

// TestStrSharesText checks what a text is for: its strings cost nothing, and there is no other
// way to them than through it.
func TestStrSharesText(t *testing.T) {
	b := wire.AppendString(wire.AppendUint(nil, 300), strings.Repeat("s", 100))
	text := string(b)
	var s string
	for want, text := range map[float64]string{0: text, 1: ""} {
		got := testing.AllocsPerRun(10, func() {
			d := wire.NewDecoder(b, text)
			d.Uint()
			s = d.Str()
		})
		if got != want || s != strings.Repeat("s", 100) {
			t.Errorf("text of %d bytes: %q at %v allocations, want %v", len(text), s, got, want)
		}
	}
	clear(b)
	if s != strings.Repeat("s", 100) {
		t.Error("the string changes with the bytes")
	}
}

// FuzzSkip checks that Skip passes over whole values: what it accepts the msgpack library reads to
// the same place, and what reads as a value skips to the same place.
func FuzzSkip(f *testing.F) {
	for _, seed := range []string{"c0", "7f", "ff", "d0ff", "d1ffff", "d2ffffffff", "d3ffffffffffffffff", "ca00000000", "cb0000000000000000",
		"a161", "d90161", "da000161", "c40161", "c5000161", "920102", "dc0001c3", "8101a0", "de0001a0c2", "cc80", "cd0100", "ce00010000",
		"cf0000000100000000", "919191919191919190", "91919191919191919190", "c1", "d40100", "dd0000000100"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b, "")
		d.Skip()
		if d.Offset() > len(b) {
			t.Fatalf("%d of %d bytes read", d.Offset(), len(b))
		}
		if d.Err() == nil {
			r := bytes.NewReader(b)
			if err := msgpack.NewDecoder(r).Skip(); err != nil || len(b)-r.Len() != d.Offset() {
				t.Fatalf("%x: skipped %d bytes, the library %d, %v", b, d.Offset(), len(b)-r.Len(), err)
			}
		}
		for _, name := range []string{"Uint", "AtMost", "Fixed32", "Fixed64", "Bool", "Str", "StrBytes", "Bin", "Addr", "AddrOrNil"} {
			v := wire.NewDecoder(b, "")
			if readers[name](&v); v.Err() == nil && (d.Err() != nil || v.Offset() != d.Offset()) {
				t.Errorf("%x: %s reads %d bytes, skipped are %d, %v", b, name, v.Offset(), d.Offset(), d.Err())
			}
		}
	})
}

// FuzzValues checks that whatever is read is written as the same bytes.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"\xcd\x01\x00", "\xcc\x7f", "\xd9\x20" + strings.Repeat("s", 32), "\xc4\x04\x0a\x01\x02\x03", "\xc3", "\xc0",
		"\x91\x00", "\x81\x00\x00", "\xdc\x00\x10" + strings.Repeat("\x00", 16), "\xce\x00\x00\x00\x01", "\xd3\x00\x00\x00\x00\x00\x00\x00\x01"} {
		f.Add([]byte(seed))
	}
	again := map[string]func(d *wire.Decoder) []byte{
		"Uint":    func(d *wire.Decoder) []byte { return wire.AppendUint(nil, d.Uint()) },
		"Fixed32": func(d *wire.Decoder) []byte { return wire.AppendFixed32(nil, d.Fixed32()) },
		"Fixed64": func(d *wire.Decoder) []byte {
			return wire.AppendFixed64(nil, msgpcode.Int64, d.Fixed64(msgpcode.Int64))
		},
		"Bool":      func(d *wire.Decoder) []byte { return wire.AppendBool(nil, d.Bool()) },
		"Str":       func(d *wire.Decoder) []byte { return wire.AppendString(nil, d.Str()) },
		"Bin":       func(d *wire.Decoder) []byte { return wire.AppendBin(nil, d.Bin()) },
		"Array":     func(d *wire.Decoder) []byte { return wire.AppendArray(nil, d.Array()) },
		"Map":       func(d *wire.Decoder) []byte { return wire.AppendMap(nil, d.Map()) },
		"AddrOrNil": func(d *wire.Decoder) []byte { return wire.AppendAddr(nil, d.AddrOrNil()) },
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, read := range again {
			d := wire.NewDecoder(b, string(b))
			if got := read(&d); d.Err() == nil && !bytes.Equal(got, b[:d.Offset()]) {
				t.Errorf("%s reads %x, which is written as %x", name, b[:d.Offset()], got)
			}
		}
	})
}
