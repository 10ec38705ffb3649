package backup_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
)

// TestRestoreClock: what a backup tells ends with its last event, unless the clock was right that says when it was made.
func TestRestoreClock(t *testing.T) {
	s := made(t, t.TempDir(), "net", 30)
	file := filepath.Join(t.TempDir(), "b")
	if _, err := backup.Write(file, []string{s.Dir()}, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	now := journal.ReadClock()
	m, entries := unpacked(t, file)
	if st := m.Stores[0]; st.Synced != now.Synchronised || !st.Live || st.Taken.After(now.Time()) {
		t.Errorf("the manifest has the clock %v %t, and it is %+v", st.Taken, st.Synced, now)
	}
	last := m.Stores[0].LastTime
	for _, c := range []struct {
		name     string
		taken    time.Time
		synced   bool
		maxError time.Duration
		live     bool
		want     time.Time
	}{
		{"right", now.Time(), true, 0, true, now.Time()},
		{"right within an error", now.Time(), true, now.Time().Sub(last) - 1, true, last.Add(1)},
		{"an error that reaches back to the last event", now.Time(), true, now.Time().Sub(last), true, time.Time{}},
		{"not synchronised", now.Time(), false, 0, true, time.Time{}},
		{"not in use", now.Time(), true, 0, false, time.Time{}},
		{"an hour ahead", now.Time().Add(time.Hour), true, 0, true, time.Time{}},
		{"in 2099", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), true, 0, true, time.Time{}},
		{"in 2099, not synchronised", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), false, 0, true, time.Time{}},
		{"in 1970", time.Unix(1000, 0).UTC(), true, 0, true, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &m.Stores[0]
			st.Taken, st.Synced, st.MaxError, st.Live = c.taken, c.synced, int64(c.maxError), c.live
			file := filepath.Join(t.TempDir(), "b")
			pack(t, file, m, "", entries)
			restored, err := backup.Restore(file, backup.RestoreOptions{DataDir: t.TempDir(), Version: "test", AllowNetworkFS: true})
			if err != nil {
				t.Fatal(err)
			}
			genesis, err := journal.ReadGenesis(restored[0].Store)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, a := range genesis.Attributes {
				got[a.Key] = a.Value
			}
			want := ""
			if !c.want.IsZero() {
				want = c.want.Format(time.RFC3339Nano)
			}
			if got[journal.AttributeCovered] != want || got[journal.AttributeBackup] != c.taken.Format(time.RFC3339Nano) {
				t.Errorf("genesis has %v; want covered %q", got, want)
			}
		})
	}
}
