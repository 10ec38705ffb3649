package process_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The storms of TestStorm.
const (
	mixedStorms    = 8
	mixedProcesses = 50
)

// TestStorm lets 50 processes of all verbs loose on a store of two families at once and kills a third of
// them somewhere on their way, across rotations and snapshots.
func TestStorm(t *testing.T) {
	n := newNetwork(t)
	n.dual()
	r := random(t)
	given := map[string]answer{}
	must(t, n.add("first"))
	must(t, n.del("first"))
	all := []string{}
	killed := 0
	within := time.Millisecond
	for round := 0; moreStorms(round, mixedStorms, killed); round++ {
		// Each second storm meets a store that is about to need a snapshot.
		if events := len(readHistory(t, n).events); round%2 == 0 {
			age(t, n, (events/snapshotEvents+1)*snapshotEvents-20)
		}
		answers := storm(t, r, mixedStorm(t, n, r, round, given), within)
		within = callTime(answers, within)
		for _, a := range answers {
			if a.killed() {
				killed++
			} else if !a.ok() {
				t.Errorf("%v: want success", a)
			}
			switch {
			case a.call.verb == "ADD" && a.ok():
				given[a.call.id] = a
			case a.call.verb == "DEL":
				delete(given, a.call.id)
			}
			if a.call.id != "" {
				all = append(all, a.call.id)
			}
		}
		stillGiven(t, n, given)
	}
	t.Logf("%d killed", killed)
	if killed < mixedStorms {
		t.Errorf("only %d processes were killed in time, so this test shows less than it means to", killed)
	}
	calm(t, n, all)
}

// mixedStorm returns calls of which a third are ADDs of new containers, and each container that was given
// addresses is asked for, deleted, or left alone.
func mixedStorm(t *testing.T, n network, r *rand.Rand, round int, given map[string]answer) []call {
	t.Helper()
	var calls []call
	keep := []string{}
	ids := make([]string, 0, len(given))
	for id := range given {
		ids = append(ids, id)
	}
	slices.Sort(ids) // so that the seed decides
	for i, id := range ids {
		switch {
		case i%3 == 0 && len(calls) < mixedProcesses/3:
			calls = append(calls, n.del(id))
		case len(calls) < mixedProcesses/2:
			calls = append(calls, n.check(id))
			keep = append(keep, id)
		default:
			keep = append(keep, id)
		}
	}
	for range 3 {
		calls = append(calls, n.status())
	}
	adds := mixedProcesses - len(calls) - 2
	for i := range adds {
		id := fmt.Sprintf("pod-%d-%d", round, i)
		calls = append(calls, n.add(id))
		keep = append(keep, id)
	}
	for range 2 {
		calls = append(calls, n.gcBut(t, keep))
	}
	r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	return calls
}

// gcBut tells that these containers' attachments are the valid ones.
func (n network) gcBut(t *testing.T, ids []string) call {
	t.Helper()
	valid := []map[string]string{}
	for _, id := range ids {
		valid = append(valid, map[string]string{"containerID": id, "ifname": "eth0"})
	}
	list, err := json.Marshal(valid)
	if err != nil {
		t.Fatal(err)
	}
	return call{verb: "GC", conf: strings.Replace(n.conf(), "{", `{"cni.dev/valid-attachments":`+string(list)+",", 1)}
}

// calm fails the test unless a store that went through storms works, and gives back all.
func calm(t *testing.T, n network, ids []string) {
	t.Helper()
	slices.Sort(ids)
	for _, a := range inParallel(t, 8, dels(n, slices.Compact(ids))) {
		if !a.ok() {
			t.Errorf("%v: want success", a)
		}
	}
	must(t, n.status())
	h := readHistory(t, n)
	if len(h.leases) != 0 {
		t.Errorf("got leases %v after a DEL of everything, want none", h.leases)
	}
	trueSnapshots(t, n, h)
	atRest(t, n, h.id)
	if snaps, segments := len(files(t, n, "snap/*.snap")), len(files(t, n, "archive/*")); snaps == 0 || segments == 0 {
		t.Errorf("%d snapshots, %d archived segments: this test shows less than it means to", snaps, segments)
	}
}
