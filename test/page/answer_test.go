package page_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lease is one as leasectl's JSON and the page's console have it.
type lease struct {
	IP          string
	ContainerID string `json:"container_id"`
	IfName      string
	Pod         struct{ Namespace, Name string }
	Start       struct {
		Seq       uint64
		Time      string
		Effective string
	}
	Certainty string
	Doubts    []string
}

// same reports whether two leases are, and the same is said of them.
func (l lease) same(x lease) bool {
	return l.IP == x.IP && l.ContainerID == x.ContainerID && l.IfName == x.IfName && l.Pod == x.Pod && l.Start == x.Start && l.Certainty == x.Certainty &&
		slices.Equal(l.Doubts, x.Doubts)
}

// table is what leasectl at says, and leaselog.at() in the page.
type table struct {
	Certainty string
	Doubts    []string // in the page without the network's name, and without those of the store as a whole
	Leases    []lease
}

// said is what is said of one address: by join as by who, and by leaselog.who() in the page.
type said struct {
	State     string
	Certainty string
	Doubts    []string // join tells none
	Holders   []lease  // join tells container and number of the first event only
}

// at asks leasectl for the table.
func (s *store) at(t testing.TB, at int64) table {
	t.Helper()
	var got table
	parse(t, s.ctl(t, []int{0, 1, 2, 3}, "at", stamp(at), "-o", "json"), &got)
	return got
}

// who asks leasectl about one address.
func (s *store) who(t testing.TB, address string, at int64) said {
	t.Helper()
	var got said
	parse(t, s.ctl(t, []int{0, 1, 2, 3}, "who", address, "--at", stamp(at), "-o", "json"), &got)
	return got
}

// join asks leasectl about all addresses at all instants, which are ascending, in one go.
func (s *store) join(t testing.TB, addresses []string, at []int64) map[int64]map[string]said {
	t.Helper()
	var flows bytes.Buffer
	flows.WriteString("ip,time\n")
	for _, instant := range at {
		for _, a := range addresses {
			flows.WriteString(a + "," + stamp(instant) + "\n")
		}
	}
	file := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(file, flows.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(s.ctl(t, []int{0, 1, 2, 3}, "join", file, "--ip", "ip", "--time", "time", "--time-unit", "rfc3339"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := func(row []string, name string) string { return row[slices.Index(rows[0], name)] }
	all := map[int64]map[string]said{}
	for _, row := range rows[1:] {
		got := said{State: column(row, "ip_state"), Certainty: column(row, "ip_certainty")}
		if got.State == "held" {
			containers := strings.Split(column(row, "ip_container"), ";")
			for i, seq := range strings.Split(column(row, "ip_seq"), ";") {
				l := lease{ContainerID: containers[i]}
				parse(t, seq, &l.Start.Seq)
				got.Holders = append(got.Holders, l)
			}
		}
		at := instantOf(t, column(row, "time"))
		if all[at] == nil {
			all[at] = map[string]said{}
		}
		all[at][column(row, "ip")] = got
	}
	return all
}

func parse(t testing.TB, text string, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// lines reads JSON Lines.
func lines[T any](t testing.TB, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		var item T
		parse(t, line, &item)
		all = append(all, item)
	}
	return all
}
