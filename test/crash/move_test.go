package crash

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/test/caller"
)

// How much of a crash point is explored where files are many, each of them four things that a crash decides; and where
// there are few.
var (
	moving = limits{exhaustive: 16, single: 1, random: 5}
	viewed = limits{exhaustive: 24, single: 3, random: 12}
)

// moves are runs that take over what host-local has, keep its files beside the journal, and give them back.
var moves = []scenario{
	{name: "import", limits: moving, nets: dual, run: func(r *recorder) {
		r.inPlace, r.keeps = true, true
		r.hostLocal(r.net.Folder(), hostLocalFiles)
		r.begin()
		r.must(r.add("c1"), r.del("x2"), r.add("c2"))
	}},
	{name: "import by DEL", limits: moving, nets: dual, run: func(r *recorder) {
		r.inPlace, r.keeps = true, true
		r.hostLocal(r.net.Folder(), hostLocalFiles)
		r.begin()
		r.must(r.del("x1"))
	}},
	{name: "import from elsewhere", limits: moving, nets: dual, run: func(r *recorder) {
		from := filepath.Join(r.root, "old", "pods")
		r.inPlace, r.net.Keys["importFrom"] = true, from
		r.hostLocal(from, hostLocalFiles)
		r.begin()
		r.must(r.add("c1"), r.del("x2"), r.add("c2"))
	}},
	{name: "import, killed", limits: moving, nets: dual, run: func(r *recorder) {
		r.inPlace, r.keeps = true, true
		r.has("c1")
		r.wiped()
		r.hostLocal(r.net.Folder(), hostLocalFiles)
		r.begin()
		r.killedClaiming(r.add("k1"), r.net.Folder(), 9)
		r.must(r.add("c2"))
	}},
	{name: "import from elsewhere, killed", limits: moving, nets: dual, run: func(r *recorder) {
		from := filepath.Join(r.root, "old", "pods")
		r.inPlace, r.net.Keys["importFrom"] = true, from
		r.hostLocal(from, hostLocalFiles)
		r.begin()
		r.killedClaiming(r.add("k1"), from, 34)
		r.must(r.add("c2"))
	}},
	{name: "wiped, and host-local came back", limits: moving, nets: dual, run: func(r *recorder) {
		r.inPlace, r.keeps = true, true
		r.has("c1", "c2")
		r.wiped()
		files := maps.Clone(hostLocalFiles)
		files["10.1.0.2"] = "y1\r\neth0" // which c1 had
		r.hostLocal(r.net.Folder(), files)
		r.begin()
		r.must(r.add("c3"), r.del("x1"), r.add("c4"))
	}},
	{name: "view", limits: viewed, nets: []string{"10.1.0.0/29"}, run: func(r *recorder) {
		r.keepsView()
		r.has("c1", "c2", "c3")
		r.had("c4", "c5")
		r.begin()
		r.must(r.del("c1"), r.add("c6"), r.del("c2")) // c6 gets what c1 had, the next what c2 had
	}},
	{name: "view of two families", limits: moving, nets: dual, run: func(r *recorder) {
		r.keepsView()
		r.begin()
		r.must(r.add("c1"), r.del("c1"), r.add("c2"))
	}},
	{name: "view, snapshot", limits: limits{exhaustive: 8, single: 1, random: 3}, nets: []string{"10.1.0.0/20"}, run: func(r *recorder) {
		r.keepsView()
		r.until(1023)
		r.begin()
		r.must(r.del("p2"))
	}},
	{name: "export", limits: moving, nets: dual, run: func(r *recorder) {
		r.inPlace = true
		r.has("c1", "c2", "c3")
		r.had("c4")
		r.begin()
		r.must(r.del("c2"))
		r.export()
		r.must(r.add("c5"))
	}},
	{name: "export of a view", limits: viewed, nets: []string{"10.1.0.0/24"}, run: func(r *recorder) {
		r.keepsView()
		r.keeps = false // as long as the folder is host-local's
		r.inPlace = true
		r.has("c1", "c2")
		r.begin()
		r.must(r.add("c3"), r.del("c1"))
		r.export()
		r.must(r.del("c2"))
	}},
}

// hostLocalFiles are leases of both families, one of an old release, and a file that a power cut left empty, which is next by
// the cursor.
var hostLocalFiles = map[string]string{
	"10.1.0.2": "x1\r\neth0", "fd01::2": "x1\r\neth0",
	"10.1.0.3": "x2\r\neth0", "fd01::3": "x2\r\neth0",
	"10.1.0.4": "old",
	"10.1.0.5": "",
	"lock":     "", "last_reserved_ip.0": "10.1.0.4", "last_reserved_ip.1": "fd01::3",
}

// wiped removes the claim, unrecorded.
func (r *recorder) wiped() {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.net.Folder(), "leaselog")); err != nil {
		r.t.Fatal(err)
	}
	r.calls = append(r.calls, &recordedCall{verb: "WIPE", status: acknowledged})
}

// killedClaiming makes a call that is killed before it has synced the claim that it put into a folder. Which of its syncs that
// is differs by the folders above the recorded one: it is sought from one on.
func (r *recorder) killedClaiming(c caller.Call, folder string, sync int) {
	r.t.Helper()
	released := r.plugin
	r.plugin = onOneThread(r.t)
	defer func() { r.plugin = released }()
	r.call(c, "-e", fmt.Sprint("inject=fsync:signal=SIGKILL:when=", sync+r.try))
	claimed := slices.IndexFunc(r.ops, func(o op) bool { return o.kind == opRename && r.root+"/"+o.to == filepath.Join(folder, "leaselog") })
	r.again = claimed < 0 || slices.ContainsFunc(r.ops[claimed:], func(o op) bool { return o.kind == opSync })
}

// keepsView has host-local's files kept beside the journal.
func (r *recorder) keepsView() { r.keeps, r.net.Keys["hostLocalView"] = true, true }

// export gives the network back to host-local, in place.
func (r *recorder) export() {
	r.t.Helper()
	r.leasectl("EXPORT", nil, "export", "host-local", r.net.Folder(), "--network", r.net.Name, "--data-dir", r.net.DataDir)
	if c := r.calls[len(r.calls)-1]; !c.answer.OK() {
		r.t.Fatal(fmt.Errorf("export: %v", c.answer))
	}
}
