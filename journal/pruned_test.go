package journal_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestPrunedAndHold reads what was set, from the event itself and from its record.
func TestPrunedAndHold(t *testing.T) {
	events := retentionEvents()
	for i := range events {
		record, err := journal.AppendRecord(nil, testID, &events[i])
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := journal.DecodeRecord(testID, events[i].Seq, record)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range []*journal.Event{&events[i], &decoded} {
			p, isPruned := ev.Pruned()
			h, isHold := ev.Hold()
			if isPruned != (ev.Kind == journal.KindPrune) || isHold != (ev.Kind == journal.KindHold || ev.Kind == journal.KindUnhold) {
				t.Errorf("event %d, %s: pruned %v, hold %v", ev.Seq, ev.Kind, isPruned, isHold)
			}
			switch ev.Seq {
			case 2:
				if !reflect.DeepEqual(p, pruned) {
					t.Errorf("got %+v, want %+v", p, pruned)
				}
			case 3:
				if want := (journal.Pruned{First: 1, Last: 1 << 40, Journal: journal.ID{9}}); !reflect.DeepEqual(p, want) {
					t.Errorf("got %+v, want %+v", p, want)
				}
			case 4:
				if h != hold {
					t.Errorf("got %+v, want %+v", h, hold)
				}
			case 6:
				if want := (journal.Hold{Of: 1 << 33, Journal: journal.ID{15: 1}}); h != want {
					t.Errorf("got %+v, want %+v", h, want)
				}
			}
			if !ev.Understood() || ev.Kind != journal.KindGenesis && ev.Kind.MustUnderstand() {
				t.Errorf("%s must be understood", ev.Kind)
			}
		}
	}
}

// TestSetAgain replaces what was set, and leaves copies of the event alone.
func TestSetAgain(t *testing.T) {
	ev := retentionEvents()[3]
	other := ev
	other.SetHold(journal.Hold{Of: 7})
	other.SetPruned(&pruned)
	if h, ok := ev.Hold(); !ok || h != hold {
		t.Errorf("the original has %+v, %v", h, ok)
	}
	h, isHold := other.Hold()
	if p, ok := other.Pruned(); !ok || !reflect.DeepEqual(p, pruned) || !isHold || h != (journal.Hold{Of: 7}) {
		t.Errorf("the copy has %+v, %v and %+v, %v", p, ok, h, isHold)
	}
	if _, ok := ev.Pruned(); ok {
		t.Error("the original has what was set in its copy")
	}
}

// TestLaterForms has what a later version may write into the fields: more elements are passed over, other forms are not
// known, and neither is damage.
func TestLaterForms(t *testing.T) {
	ev := retentionEvents()[3]
	forms := map[string]struct {
		value []byte
		known bool
	}{
		"more elements":  {slicesOf(journal.RawField(&ev, 65), 5, 0x93, 1, 2, 0xc0), true},
		"fewer elements": {[]byte{0x93, 0, 0, 0}, false},
		"a number":       {[]byte{7}, false},
		"a string":       {[]byte{0xa1, 'x'}, false},
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			later := ev
			journal.SetRawField(&later, 65, f.value)
			record, err := journal.AppendRecord(nil, testID, &later)
			if err != nil {
				t.Fatal(err)
			}
			got, err := journal.DecodeRecord(testID, ev.Seq, record)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := journal.AppendRecord(nil, testID, &got); err != nil || !bytes.Equal(again, record) {
				t.Errorf("encoded again: %x, %v; want %x", again, err, record)
			}
			if h, ok := got.Hold(); ok != f.known || ok && h != hold {
				t.Errorf("got %+v, %v", h, ok)
			}
		})
	}
}

// slicesOf is an array's value with elements added to it: at most 15 in all.
func slicesOf(value []byte, n byte, added ...byte) []byte {
	out := append([]byte{0x90 | n}, value[1:]...)
	return append(out, added...)
}

// TestForgedForms reads fields of random bytes: whatever they are, nothing panics and what is said is possible.
func TestForgedForms(t *testing.T) {
	events := retentionEvents()
	r := rand.New(rand.NewPCG(3, 4))
	known := 0
	for range 20_000 {
		ev := events[1+r.IntN(len(events)-1)]
		key := 65
		if ev.Kind == journal.KindPrune {
			key = 64
		}
		value := bytes.Clone(journal.RawField(&ev, key))
		for range 1 + r.IntN(3) {
			value[r.IntN(len(value))] = byte(r.Uint32())
		}
		journal.SetRawField(&ev, key, value[:len(value)-r.IntN(2)])
		if p, ok := ev.Pruned(); ok {
			known++
			if p.First == 0 || p.Last < p.First {
				t.Fatalf("%x says %+v", value, p)
			}
		}
		ev.Hold()
	}
	if known == 0 {
		t.Error("nothing that was forged could be read: the test reaches nothing")
	}
}

func TestKinds(t *testing.T) {
	for _, k := range journal.Kinds() {
		if got, err := journal.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%s: parsed as %d, %v", k, got, err)
		}
	}
	if k := journal.Kind(67); k.Known() || k.String() != "kind(67)" || journal.Kind(63).Known() || len(journal.Kinds()) != 13 {
		t.Errorf("kinds %v", journal.Kinds())
	}
}

// TestRetentionIsALandmark: prunes and holds concern every question.
func TestRetentionIsALandmark(t *testing.T) {
	for _, ev := range retentionEvents() {
		record, err := journal.AppendRecord(nil, testID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		var o journal.Outline
		var n journal.Needles
		if !o.Read(record) || !n.Landmark(&o, record) || !n.Whole(&o, record) || o.Unknown {
			t.Errorf("%s is no landmark", ev.Kind)
		}
	}
}
