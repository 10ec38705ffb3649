package archive

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/leaselog/leaselog/journal"
)

// nameEnd is what names of packed files end in.
const nameEnd = ".llz"

// nameDigits is how many decimal digits a sequence number has in a name.
const nameDigits = 20

// Name returns the file name of the packed file that holds the events from first to last.
func Name(first, last journal.Seq) string {
	return fmt.Sprintf("%0*d-%0*d%s", nameDigits, uint64(first), nameDigits, uint64(last), nameEnd)
}

// parseName reads what Name returns.
func parseName(name string) (first, last journal.Seq, ok bool) {
	if len(name) != 2*nameDigits+1+len(nameEnd) {
		return 0, 0, false
	}
	a, err := strconv.ParseUint(name[:nameDigits], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	b, err := strconv.ParseUint(name[nameDigits+1:2*nameDigits+1], 10, 64)
	if err != nil || a == 0 || a > b || Name(journal.Seq(a), journal.Seq(b)) != name {
		return 0, 0, false
	}
	return journal.Seq(a), journal.Seq(b), true
}

// sortFiles puts files in order of their first events; of those that begin alike the longest is last.
func sortFiles(files []*file) {
	slices.SortFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.head.first, b.head.first), cmp.Compare(a.head.last, b.head.last))
	})
}
