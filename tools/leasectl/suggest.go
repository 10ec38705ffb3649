package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// shownAlternatives is how many of what there is an error names.
const shownAlternatives = 8

// noSuch is the error for a name that is none of those that there are: it lists them, those most like it first.
func noSuch(what, name string, there []string) error {
	if len(there) == 0 {
		return fmt.Errorf("no %s %q, and no other", what, name)
	}
	return fmt.Errorf("no %s %q; there are: %s", what, name, alternatives(name, there))
}

// alternatives lists names, those most like the given one first.
func alternatives(name string, there []string) string {
	names := slices.Clone(there)
	slices.Sort(names)
	names = slices.Compact(names)
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(distance(x, name), distance(y, name)) })
	more := ""
	if len(names) > shownAlternatives {
		more = fmt.Sprintf(" and %d more", len(names)-shownAlternatives)
		names = names[:shownAlternatives]
	}
	return strings.Join(names, ", ") + more
}

func noNetwork(name string, stores []*store) error {
	var names []string
	for _, s := range stores {
		names = append(names, s.network)
	}
	return noSuch("network", name, names)
}

// distance is how many bytes must be added, removed or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
