package process_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// BenchmarkCostOfSafety makes ADDs by turns with the plugin as it is and with one whose appends are not
// synced, and reports the medians of both and of their ratio: what durability costs here.
//
//	go test ./test/process -run '^$' -bench CostOfSafety -benchtime 500x
func BenchmarkCostOfSafety(b *testing.B) {
	root, dir := filepath.Join("..", ".."), b.TempDir()
	source := filepath.Join(root, "journal", "append.go")
	text, err := os.ReadFile(source)
	if err != nil {
		b.Fatal(err)
	}
	const synced = "j.log.Sync()"
	if strings.Count(string(text), synced) != 1 {
		b.Fatalf("%s: %s is not there once: the comparison has to be made anew", source, synced)
	}
	unsynced := filepath.Join(dir, "append.go")
	if err := os.WriteFile(unsynced, []byte(strings.Replace(string(text), synced, "error(nil)", 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	if source, err = filepath.Abs(source); err != nil {
		b.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: unsynced}})
	if err != nil {
		b.Fatal(err)
	}
	overlayPath := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayPath, overlay, 0o600); err != nil {
		b.Fatal(err)
	}
	plain, err := caller.Build(root, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	lying, err := caller.Build(root, b.TempDir(), "-overlay", overlayPath)
	if err != nil {
		b.Fatal(err)
	}
	var took [2][]time.Duration
	data := b.TempDir()
	add := func(which, i int) {
		plugin := [2]string{plain, lying}[which]
		n := caller.Network{Name: fmt.Sprintf("net%d", which), DataDir: data, Ranges: [][]caller.Range{{{Subnet: "10.0.0.0/12"}}}}
		began := time.Now()
		a, err := caller.Call{Network: n, Verb: "ADD", ID: fmt.Sprintf("c%d", i)}.Run(plugin)
		if err != nil || !a.OK() {
			b.Fatal(a, err)
		}
		took[which] = append(took[which], time.Since(began))
	}
	for i := 0; b.Loop(); i++ {
		add(i%2, i)
		add(1-i%2, i)
	}
	durable, without := took[0][1:], took[1][1:] // the first ones make the networks
	if len(durable) == 0 {
		return
	}
	ratios := make([]float64, len(durable))
	for i := range ratios {
		ratios[i] = float64(durable[i]) / float64(without[i])
	}
	slices.Sort(ratios)
	slices.Sort(durable)
	slices.Sort(without)
	b.ReportMetric(float64(durable[len(durable)/2].Microseconds()), "µs/durable")
	b.ReportMetric(float64(without[len(without)/2].Microseconds()), "µs/unsynced")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(0, "ns/op")
}
