package report_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/big"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/report"
)

func TestTemplate(t *testing.T) {
	point := func(seq journal.Seq) replay.Point {
		return replay.Point{Seq: seq, Effective: time.Unix(int64(seq), 5).UTC()}
	}
	doubtful := point(40)
	iv := &replay.Interval{Start: point(4), End: &replay.End{Point: point(44)}, Doubtful: &doubtful}
	for _, tt := range []struct{ name, text, want string }{
		{"start and end", "event 4 and event 44", "event \x00s and event \x00e"},
		{"of a longer number", "event 444, event 45", "event 444, event 45"},
		{"use", "use is uncertain after event 40 (1970-01-01T00:00:40.000000005Z): why", "use is uncertain after event \x00w (\x00t): why"},
		{"another time", "event 40 (1970-01-01T00:00:41.000000005Z)", "event 40 (1970-01-01T00:00:41.000000005Z)"},
		{"a mark", "event 4\x00s", "event \x00s\x000s"},
		{"nothing", "by event forty", "by event forty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := report.Template(iv, tt.text)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			back := strings.NewReplacer("\x00s", "4", "\x00e", "44", "\x00w", "40", "\x00t", "1970-01-01T00:00:40.000000005Z", "\x000", "\x00").Replace(got)
			if back != tt.text {
				t.Errorf("back: got %q, want %q", back, tt.text)
			}
		})
	}
}

func TestFloor(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 999_999, 1_000_000, -1_000_000, -1_000_001, math.MaxInt64, math.MinInt64} {
		if q, r := report.Floor(n, 1_000_000); r < 0 || r > 999_999 || q*1_000_000+r != n {
			t.Errorf("%d: %d, rest %d", n, q, r)
		}
	}
}

// TestOffset has times that lie further apart than a Duration is long.
func TestOffset(t *testing.T) {
	times := []int64{0, 1, -1, 1_999_999, time.Date(1678, 10, 26, 0, 12, 43, 145224192, time.UTC).UnixNano(), time.Now().UnixNano(), math.MaxInt64, math.MinInt64}
	for _, of := range times {
		for _, from := range times {
			q := report.Offset(of, from)
			got := new(big.Int).Mul(big.NewInt(q[0]), big.NewInt(1_000_000))
			got.Add(got, big.NewInt(q[1]))
			if want := new(big.Int).Sub(big.NewInt(of), big.NewInt(from)); q[1] < 0 || q[1] > 999_999 || got.Cmp(want) != 0 {
				t.Errorf("%d less %d: %v is %d, want %d", of, from, q, got, want)
			}
		}
	}
}

// TestPack reads back what was packed: nothing, less than a chunk, and some whole ones.
func TestPack(t *testing.T) {
	const chunk = 4000
	data := make([]byte, 5*chunk+1)
	for i := range data {
		data[i] = byte(i * i >> 5)
	}
	for _, n := range []int{0, 1, chunk, chunk + 1, len(data)} {
		var packed bytes.Buffer
		if err := report.Pack(&packed, [][]byte{data[:n/3], nil, data[n/3 : n]}, chunk); err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(&packed)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false) // as browsers read it
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, data[:n]) || packed.Len() > 0 {
			t.Errorf("%d bytes: got %d, %v, and %d bytes behind", n, len(got), err, packed.Len())
		}
	}
}

// chronicle is a journal of n events: leases of a minute and more, of pods with names as runtimes make them.
func chronicle(n int) iter.Seq2[journal.Piece, error] {
	return func(yield func(journal.Piece, error) bool) {
		boot := journal.BootID{7}
		begun := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixNano()
		random := func(i int) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "%d", i)) }
		type lease struct {
			id string
			ip netip.Addr
		}
		var held []lease
		at, next := int64(0), 0
		for seq := 1; seq <= n; seq++ {
			x := random(seq)
			at += int64(x[0])<<24 + int64(x[1])<<16 + int64(x[2])<<8 + int64(x[3])
			ev := journal.Event{Seq: journal.Seq(seq), Clock: journal.Clock{Wall: begun + at + int64(x[4]), BootTime: at, Boot: boot, Synchronised: true, MaxError: time.Millisecond}}
			switch {
			case seq == 1:
				ev.Kind = journal.KindGenesis
			case seq == 2:
				ev.Kind = journal.KindConfig
				ev.Ranges = [][]journal.Range{{{Subnet: netip.MustParsePrefix("10.0.0.0/16"), Start: netip.MustParseAddr("10.0.0.2"),
					End: netip.MustParseAddr("10.0.255.254"), Gateway: netip.MustParseAddr("10.0.0.1")}}}
			case len(held) > 250 || seq%2 == 1 && len(held) > 200:
				i := int(x[5]) % len(held)
				l := held[i]
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
				ev.Kind, ev.Reason, ev.ContainerID, ev.IfName = journal.KindDel, journal.ReasonDel, l.id, "eth0"
				ev.Addresses = []journal.Address{{IP: l.ip, Bits: 16}}
			default:
				next++
				l := lease{fmt.Sprintf("%x", x), netip.AddrFrom4([4]byte{10, 0, byte(next >> 8), byte(next)})}
				held = append(held, l)
				ev.Kind, ev.Config, ev.ContainerID, ev.IfName = journal.KindAdd, 2, l.id, "eth0"
				ev.Pod = journal.Pod{Namespace: []string{"shop", "batch", "search"}[x[6]%3], Name: fmt.Sprintf("web-frontend-%x-%x", x[7]%9, x[8:11])}
				ev.Addresses = []journal.Address{{IP: l.ip, Bits: 16}}
			}
			if !yield(journal.Piece{Record: journal.Record{Event: ev, File: "journal/00000000000000000001"}}, nil) {
				return
			}
		}
	}
}

// page makes the page of a journal.
func page(t testing.TB, v *report.View, pieces iter.Seq2[journal.Piece, error]) []byte {
	t.Helper()
	h, events, err := report.Read(pieces, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v.Parts = []report.Part{{ID: "0123456789abcdef0123456789abcdef", History: h, Events: events, Between: &report.Between{}}}
	r := report.New(report.Asked{}, "v1", time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC))
	if _, err := r.Add(v); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Page(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSize holds a page of one day of a busy node below a megabyte, script and style included.
func TestSize(t *testing.T) {
	if got := len(page(t, &report.View{}, chronicle(40_000))); got > 1<<20 {
		t.Errorf("a page of 40,000 events has %d bytes", got)
	}
}

// TestSameBytes has the same page made twice.
func TestSameBytes(t *testing.T) {
	one, two := page(t, &report.View{}, chronicle(9000)), page(t, &report.View{}, chronicle(9000))
	if !bytes.Equal(one, two) {
		t.Error("the same history gives two pages")
	}
}

// TestHostile has names that would be HTML, and finds nothing of them in the page but in its title, as text.
func TestHostile(t *testing.T) {
	const hostile = `</script><img src=x onerror=alert(1)>"'&{{.Data}}` + "\u202e\x00"
	pieces := func(yield func(journal.Piece, error) bool) {
		for p, err := range chronicle(50) {
			if p.Event.Kind == journal.KindAdd {
				p.Event.ContainerID, p.Event.Pod = p.Event.ContainerID+hostile, journal.Pod{Namespace: hostile, Name: strings.Repeat(hostile, 100)}
				p.Event.IfName = hostile
			}
			if p.Event.Kind == journal.KindDel {
				p.Event.ContainerID, p.Event.IfName = p.Event.ContainerID+hostile, hostile
			}
			if !yield(p, err) {
				return
			}
		}
	}
	got := string(page(t, &report.View{Network: hostile, Node: hostile, Doubts: []string{hostile}}, pieces))
	if strings.Contains(got, "<img") || strings.ContainsAny(got, "\u202e\x00") {
		t.Error("a name is part of the page's HTML")
	}
	if n := strings.Count(got, `&lt;img src=x onerror=alert(1)&gt;&#34;&#39;&amp;{{.Data}}\u202e\x00`); n != 4 { // of title and heading
		t.Errorf("the title has the names %d times, want 4", n)
	}
}

// TestTitle names what the page is of, and two stores of the same network and node by their folders.
func TestTitle(t *testing.T) {
	for _, tt := range []struct {
		name  string
		views []report.View // Title is the folder
		want  string
	}{
		{"one", []report.View{{Network: "pods", Node: "n1", Title: "/a"}}, "Leases of pods on n1"},
		{"no node", []report.View{{Network: "pods", Title: "/a"}}, "Leases of pods"},
		{"two nodes", []report.View{{Network: "pods", Node: "n1", Title: "/a"}, {Network: "pods", Node: "n2", Title: "/b"}}, "Leases of pods on n1, pods on n2"},
		{"twins", []report.View{{Network: "pods", Node: "n1", Title: "/a"}, {Network: "pods", Node: "n1", Title: "/b\u202e"}},
			`Leases of pods on n1 in /a, pods on n1 in /b\u202e`},
		{"more", []report.View{{Network: "a"}, {Network: "b"}, {Network: "c", Title: "/a"}, {Network: "c", Title: "/b"}}, "Leases of a, b, c in /a and 1 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := report.New(report.Asked{}, "v1", time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC))
			for _, v := range tt.views {
				h, events, err := report.Read(chronicle(3), replay.Options{})
				if err != nil {
					t.Fatal(err)
				}
				// The newest journal is the last one.
				v.Parts = []report.Part{{Dir: "/old", Unread: "damaged"}, {Dir: v.Title, History: h, Events: events}}
				if _, err := r.Add(&v); err != nil {
					t.Fatal(err)
				}
			}
			var b bytes.Buffer
			if err := r.Page(&b); err != nil {
				t.Fatal(err)
			}
			for _, tag := range []string{"<title>", `<h1 id="title">`} {
				if want := tag + tt.want + "<"; !strings.Contains(b.String(), want) {
					t.Errorf("the page does not have %s", want)
				}
			}
		})
	}
}

// TestPolicy finds the hash of everything that the page may run in its policy, and nothing else allowed.
func TestPolicy(t *testing.T) {
	got := page(t, &report.View{}, chronicle(3))
	for _, part := range []struct{ kind, tag string }{{"script", "script"}, {"style", "style"}} {
		inline := regexp.MustCompile(`(?s)<`+part.tag+`>(.*?)</`+part.tag+`>`).FindAllSubmatch(got, -1)
		if len(inline) != 1 {
			t.Fatalf("%d elements %s, want 1", len(inline), part.tag)
		}
		sum := sha256.Sum256(inline[0][1])
		if want := part.kind + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(report.Policy(), want) {
			t.Errorf("policy %s: want %s", report.Policy(), want)
		}
	}
	if !strings.Contains(string(got), `<meta http-equiv="Content-Security-Policy" content="`+report.Policy()+`">`) {
		t.Error("the page does not have its policy")
	}
	for _, loose := range []string{"unsafe", "*", "http:", "https:", "blob:"} {
		if strings.Contains(report.Policy(), loose) {
			t.Errorf("policy %s: allows %s", report.Policy(), loose)
		}
	}
	if regexp.MustCompile(`(?i)<[^>]+ (style|on[a-z]+)=`).Match(bytes.Split(got, []byte("<script"))[0]) {
		t.Error("the page has inline styles or handlers, which its policy forbids")
	}
}

// TestReadEnds has readings that end early leave no goroutine behind, whatever ended them.
func TestReadEnds(t *testing.T) {
	defer time.AfterFunc(20*time.Second, func() { panic("a reading does not end") }).Stop()
	before := runtime.NumGoroutine()
	failed := errors.New("disk")
	broken := func(yield func(journal.Piece, error) bool) {
		for p, err := range chronicle(5000) {
			if p.Event.Seq == 3000 {
				p, err = journal.Piece{}, failed
			}
			if !yield(p, err) {
				return
			}
		}
	}
	if _, _, err := report.Read(broken, replay.Options{}); !errors.Is(err, failed) {
		t.Errorf("error %v, want %v", err, failed)
	}
	impossible := func(yield func(journal.Piece, error) bool) {
		for p, err := range chronicle(5000) {
			if p.Event.Seq == 3000 {
				p.Event.Seq = 9000
			}
			if !yield(p, err) {
				return
			}
		}
	}
	h, _, err := report.Read(impossible, replay.Options{})
	if err != nil || h.Stopped == nil || h.Last.Seq != 2999 {
		t.Errorf("error %v, stopped by %v after event %d", err, h.Stopped, h.Last.Seq)
	}
	for runtime.NumGoroutine() > before { // one that has said that it is done may still be on its way out
		runtime.Gosched()
	}
}

// TestBrief has a history keep of leases what a page shows of them, and no more: there may be very many.
func TestBrief(t *testing.T) {
	pieces := func(yield func(journal.Piece, error) bool) {
		for p, err := range chronicle(100) {
			p.Event.NetNS, p.Event.Pod.UID = "/run/netns/a", "b"
			if !yield(p, err) {
				return
			}
		}
	}
	h, _, err := report.Read(pieces, replay.Options{})
	if err != nil || len(h.Intervals) == 0 {
		t.Fatalf("%d leases, error %v", len(h.Intervals), err)
	}
	for _, iv := range h.Intervals {
		if l := iv.Lease; l.ContainerID == "" || l.Pod.Name == "" || l.NetNS != "" || l.Pod.UID != "" {
			t.Fatalf("kept: %+v", l)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	for b.Loop() {
		page(b, &report.View{}, chronicle(40_000))
	}
}
