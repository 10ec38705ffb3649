package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// texts are those that others refer to by their number, each once. The first is empty.
type texts struct {
	list    []string
	numbers map[string]int
}

func newTexts() *texts { return &texts{list: []string{""}, numbers: map[string]int{"": 0}} }

func (t *texts) number(s string) int {
	n, ok := t.numbers[s]
	if !ok {
		n = len(t.list)
		t.list, t.numbers[s] = append(t.list, valid(s)), n
	}
	return n
}

// all returns the numbers of texts; never nil.
func (t *texts) all(list []string) []int {
	numbers := make([]int, len(list))
	for i, s := range list {
		numbers[i] = t.number(s)
	}
	return numbers
}

// doubtSets are the doubts of leases, each set once. In a store whose clock was never synchronised each lease has some, and they differ in
// nothing but the numbers of its events. So these are taken out, see template.
type doubtSets struct {
	texts   *texts
	list    []doubtSet
	numbers map[string]int
	key     []byte
}

type doubtSet struct {
	All  []int `json:"all"`
	Then []int `json:"then,omitzero"` // those of a table of its time, if these are others
	Use  int   `json:"use,omitempty"` // 1 + which of these is said only where its use is in doubt
}

// number returns 1 + the number of a lease's set, 0 if it has no doubts; extra is one more that the history doesn't have, "" for none.
func (d *doubtSets) number(l *leaseRef, extra string) int {
	iv := l.Interval
	if len(iv.Doubts) == 0 && extra == "" {
		return 0
	}
	var set doubtSet
	for _, text := range iv.Doubts {
		set.All = append(set.All, d.texts.number(template(iv, text)))
	}
	if extra != "" {
		set.All = append(set.All, d.texts.number(template(iv, extra)))
	}
	then, use := l.part.History.Then(iv)
	set.Use = use + 1
	if len(then) < len(set.All) || use >= 0 && then[use] != iv.Doubts[use] {
		if set.Then = slices.Clone(set.All[:len(then)]); use >= 0 {
			set.Then[use] = d.texts.number(template(iv, then[use]))
		}
	}
	told := len(set.Then)
	if set.Then == nil {
		told = -1
	}
	d.key = d.key[:0]
	for _, n := range slices.Concat(set.All, set.Then, []int{set.Use, told}) {
		d.key = strconv.AppendInt(append(d.key, ' '), int64(n), 10)
	}
	n, ok := d.numbers[string(d.key)]
	if !ok {
		if d.numbers == nil {
			d.numbers = map[string]int{}
		}
		d.list = append(d.list, set)
		n = len(d.list)
		d.numbers[string(d.key)] = n
	}
	return n
}

// timeLayout is that of times in doubts.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// What stands for what in a template: a U+0000, and then
const (
	startSeq     = "\x00s" // the event that gave the lease
	endSeq       = "\x00e" // that ended it
	doubtfulSeq  = "\x00w" // behind which its use is uncertain
	doubtfulTime = "\x00t" // when that was
	zero         = "\x000" // a U+0000
)

// template takes the numbers of a lease's events out of a text. Whoever puts them back has the same text again, whatever it says.
func template(iv *replay.Interval, text string) string {
	text = strings.ReplaceAll(text, "\x00", zero)
	if p := iv.Doubtful; p != nil {
		text = strings.ReplaceAll(text, fmt.Sprintf("event %d (%s)", p.Seq, p.Effective.Format(timeLayout)), "event "+doubtfulSeq+" ("+doubtfulTime+")")
	}
	text = withoutSeq(text, iv.Start.Seq, startSeq)
	if iv.End != nil {
		text = withoutSeq(text, iv.End.Seq, endSeq)
	}
	return text
}

// withoutSeq puts a mark for the number in "event 42".
func withoutSeq(text string, seq journal.Seq, mark string) string {
	const word = "event "
	number := strconv.FormatUint(uint64(seq), 10)
	var b strings.Builder
	for {
		before, behind, found := strings.Cut(text, word+number)
		if !found {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(before + word)
		if behind != "" && '0' <= behind[0] && behind[0] <= '9' {
			b.WriteString(number) // the beginning of a longer one
		} else {
			b.WriteString(mark)
		}
		text = behind
	}
}
