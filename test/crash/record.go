package crash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// callVariable tells the trace which call a process is.
const callVariable = "LEASELOG_TEST_CALL"

// callStatus says what a caller knows of its call.
type callStatus int

const (
	notBegun callStatus = iota
	underWay
	acknowledged // done, or refused
	broken       // ended with neither: killed, or the disk failed
)

// recordedCall is a call with its answer and what it wrote.
type recordedCall struct {
	verb   string // of CNI, or WIPE, REPAIR, EXPORT, or FILES: a lease that host-local's files tell of
	owner  state.Attachment
	keep   map[state.Attachment]bool // GC
	answer caller.Answer
	wrote  []journal.Event // as far as no call before had written the very record
	status callStatus      // before the recording begins; notBegun for recorded calls
}

// recording is a real run: the disk as it was before, all that happened in order, and what came of it.
type recording struct {
	root    string
	net     caller.Network
	sets    []allocator.RangeSet
	calls   []*recordedCall
	before  *disk
	ops     []op
	written map[journal.Hash]bool // every record that was ever written
	history []journal.Hash        // at the end

	tornSegment string // that had a torn tail at the beginning, and its bytes then; "" if none had
	torn        []byte

	inode   uint64 // of the network's folder; 0 if there is none
	inPlace bool   // what is recorded names its own folder under a checksum, so that images have to be written there
	keeps   bool   // host-local's files are kept up to date in the network's folder
}

// recorder makes a recording: first, unrecorded, what a scenario needs; then, from begin on, with every system call.
type recorder struct {
	recording
	t      *testing.T
	plugin string
	store  *allocator.Store
	again  bool // the faults hit another call than the scenario wants: it has to be run once more
	try    int  // how many times it was before
	shift  int  // keeps the processes of several traces apart
	work   string
}

// newRecorder returns a recorder for a network with these range sets. Its data folder is root/data.
func newRecorder(t *testing.T, plugin, root string, subnets ...string) *recorder {
	t.Helper()
	r := &recorder{t: t, plugin: plugin, work: t.TempDir()}
	r.root = root
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	r.net = caller.Network{Name: "pods", DataDir: filepath.Join(root, "data"), Keys: map[string]any{}}
	for _, subnet := range subnets {
		r.net.Ranges = append(r.net.Ranges, []caller.Range{{Subnet: subnet}})
		r.sets = append(r.sets, allocator.RangeSet{{Subnet: netip.MustParsePrefix(subnet)}})
	}
	var err error
	if r.sets, err = allocator.Canonical(r.sets); err != nil {
		t.Fatal(err)
	}
	return r
}

// done reports whether the caller got to know that its call was served, or refused.
func (c *recordedCall) done() bool {
	return c.answer.OK() || c.answer.Code >= 100 && c.answer.Code < 103
}

// historyDir is where the configuration has the history.
func (r *recording) historyDir() string {
	if dir, ok := r.net.Keys["historyDir"].(string); ok {
		return dir
	}
	return filepath.Join(r.net.DataDir, ".leaselog")
}

// storeDir is the network's store.
func (r *recording) storeDir() string { return filepath.Join(r.historyDir(), r.net.Name) }

// options are those of the recorded network, in a folder that stands for root.
func (r *recording) options(root string, warn func(string)) allocator.Options {
	o := allocator.Options{Network: r.net.Name, DataDir: moved(r.net.DataDir, r.root, root),
		HistoryDir: moved(r.historyDir(), r.root, root), Version: "dev", Warn: warn, Ranges: func() []allocator.RangeSet { return r.sets }}
	if from, ok := r.net.Keys["importFrom"].(string); ok {
		o.ImportFrom = moved(from, r.root, root)
	}
	if on, ok := r.net.Keys["hostLocalView"].(bool); ok && on {
		o.View = allocator.ViewOn
	}
	return o
}

func moved(path, from, to string) string { return to + strings.TrimPrefix(path, from) }

func ownerOf(id string) state.Attachment {
	return state.Attachment{ContainerID: id, IfName: "eth0"}
}

// has prepares a lease, unrecorded.
func (r *recorder) has(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		choice, err := r.inProcess().Add(r.addRequest(id))
		if err != nil {
			r.t.Fatal(err)
		}
		c := &recordedCall{verb: "ADD", owner: ownerOf(id), status: acknowledged}
		for _, a := range choice.Addresses {
			c.answer.IPs = append(c.answer.IPs, a.IP)
		}
		r.calls = append(r.calls, c)
	}
}

// had prepares a lease that has ended, unrecorded.
func (r *recorder) had(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		r.has(id)
		if err := r.inProcess().Del(allocator.DelRequest{Owner: ownerOf(id)}); err != nil {
			r.t.Fatal(err)
		}
		r.calls = append(r.calls, &recordedCall{verb: "DEL", owner: ownerOf(id), status: acknowledged})
	}
}

// inProcess returns the store for what is not recorded.
func (r *recorder) inProcess() *allocator.Store {
	if r.store == nil {
		r.store = allocator.NewStore(r.options(r.root, func(text string) { r.t.Log(text) }))
	}
	return r.store
}

func (r *recording) addRequest(id string) allocator.AddRequest {
	return allocator.AddRequest{Request: allocator.Request{Owner: ownerOf(id), Sets: r.sets}, NetNS: netNS(id)}
}

// netNS is long for some containers, so that their records reach over several sectors.
func netNS(id string) string {
	if strings.HasPrefix(id, "long") {
		return "/var/run/netns/" + strings.Repeat("cni-0123456789-", 80)
	}
	return "/no/such/netns"
}

// begin takes the folder as it is for what is on the disk, and starts the recording.
func (r *recorder) begin() {
	r.t.Helper()
	var err error
	if r.before, err = load(r.root); err != nil {
		r.t.Fatal(err)
	}
}

func (r *recorder) add(id string) caller.Call { return r.verb("ADD", id) }
func (r *recorder) del(id string) caller.Call { return r.verb("DEL", id) }
func (r *recorder) verb(verb, id string) caller.Call {
	return caller.Call{Network: r.net, Verb: verb, ID: id, NetNS: netNS(id)}
}

// gc keeps these and releases all others.
func (r *recorder) gc(keep ...string) caller.Call {
	c := caller.Call{Network: r.net, Verb: "GC", Valid: []caller.Attachment{}}
	for _, id := range keep {
		c.Valid = append(c.Valid, caller.Attachment{ContainerID: id, IfName: "eth0"})
	}
	return c
}

// note registers a call that is about to be made and returns its number.
func (r *recorder) note(c *caller.Call) int {
	n := len(r.calls)
	rec := &recordedCall{verb: c.Verb, owner: ownerOf(c.ID)}
	if c.Verb == "GC" {
		rec.owner, rec.keep = state.Attachment{}, map[state.Attachment]bool{}
		for _, a := range c.Valid {
			rec.keep[state.Attachment{ContainerID: a.ContainerID, IfName: a.IfName}] = true
		}
	}
	r.calls = append(r.calls, rec)
	c.Env = append(c.Env, callVariable+"="+strconv.Itoa(n))
	return n
}

// call makes one call under strace, which gets more words if faults are to be injected.
func (r *recorder) call(c caller.Call, strace ...string) caller.Answer {
	r.t.Helper()
	n := r.note(&c)
	out := filepath.Join(r.work, "trace")
	a, err := c.Run(r.plugin, append(straceArgs(out), strace...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.calls[n].answer = a
	r.take(out)
	return a
}

// must makes calls that have to succeed.
func (r *recorder) must(calls ...caller.Call) {
	r.t.Helper()
	for _, c := range calls {
		if a := r.call(c); !a.OK() {
			r.t.Fatalf("%s %s: %v", c.Verb, c.ID, a)
		}
	}
}

// atOnce makes calls at the same time, all below one strace.
func (r *recorder) atOnce(calls ...caller.Call) {
	r.t.Helper()
	var script strings.Builder
	first := len(r.calls)
	for i := range calls {
		r.note(&calls[i])
		in := filepath.Join(r.work, fmt.Sprint("in", i))
		if err := os.WriteFile(in, []byte(calls[i].Input()), 0o600); err != nil {
			r.t.Fatal(err)
		}
		script.WriteString("env -i")
		for _, word := range calls[i].Environment() {
			script.WriteString(" '" + word + "'")
		}
		fmt.Fprintf(&script, " %s <%s >%s/out%d 2>%s/err%d &\n", r.plugin, in, r.work, i, r.work, i)
	}
	script.WriteString("wait\n")
	out := filepath.Join(r.work, "trace")
	argv := append(straceArgs(out), "/bin/sh", "-c", script.String())
	if said, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, said)
	}
	r.take(out)
	for i, c := range calls {
		exit := -1
		for _, o := range r.ops {
			if o.kind == opExit && o.call == first+i {
				exit = o.code
			}
		}
		stdout, err := os.ReadFile(fmt.Sprintf("%s/out%d", r.work, i))
		stderr, err2 := os.ReadFile(fmt.Sprintf("%s/err%d", r.work, i))
		a, err3 := c.Read(exit, string(stdout), string(stderr))
		if err := errors.Join(err, err2, err3); err != nil || !a.OK() {
			r.t.Fatalf("%s %s: %v: %v", c.Verb, c.ID, a, err)
		}
		r.calls[first+i].answer = a
	}
}

// wipe deletes the network's folder as an administrator does.
func (r *recorder) wipe() {
	r.t.Helper()
	out := filepath.Join(r.work, "trace")
	argv := append(straceArgs(out), "rm", "-rf", r.net.Folder())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), callVariable+"="+strconv.Itoa(len(r.calls)))
	if said, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, said)
	}
	r.calls = append(r.calls, &recordedCall{verb: "WIPE"})
	r.take(out)
}

// take adds what strace saw to the recording.
func (r *recorder) take(out string) {
	r.t.Helper()
	ops, err := parseTrace(out, r.root, func(argv0 string, env map[string]string) (int, bool) {
		n, err := strconv.Atoi(env[callVariable])
		return n, err == nil && (argv0 == r.plugin || slices.Contains([]string{"rm", "leasectl"}, filepath.Base(argv0)))
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.shift += 1 << 32
	base := len(r.ops)
	for _, o := range ops {
		o.proc += r.shift
		o.begun += base
		r.ops = append(r.ops, o)
	}
}

// end checks the recording against the real folder and returns it.
func (r *recorder) end() *recording {
	r.t.Helper()
	if err := r.finish(); err != nil {
		r.t.Fatal(err)
	}
	return &r.recording
}

func (r *recorder) finish() error {
	check := r.before.clone()
	status := make([]callStatus, len(r.calls))
	for i := range r.ops {
		if err := check.step(&r.ops[i]); err != nil {
			return err
		}
		r.advance(status, &r.ops[i])
	}
	for i, c := range r.calls {
		if ok := c.done(); c.status == notBegun && ok != (status[i] == acknowledged) {
			return fmt.Errorf("call %d, %s %s: %v, but its trace says something else", i, c.verb, c.owner.ContainerID, c.answer)
		}
	}
	if err := check.same(r.root); err != nil {
		return fmt.Errorf("the recording is not what happened: %w", err)
	}
	meta, err := journal.ReadMeta(r.storeDir())
	if err != nil {
		return err
	}
	if info, err := os.Stat(r.net.Folder()); err == nil {
		r.inode = info.Sys().(*syscall.Stat_t).Ino
	}
	// The note of a fenced store lives in /run, which power loss empties.
	if err := os.Remove(filepath.Join("/run/leaselog", meta.ID.String())); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := r.readHistory(); err != nil {
		return err
	}
	return r.readWritten(meta.ID)
}

// readHistory notes the records as they are at the end.
func (r *recorder) readHistory() error {
	reader, err := archive.Open(r.storeDir())
	if err != nil {
		return err
	}
	r.written = map[journal.Hash]bool{}
	for rec, err := range reader.Left(0) {
		if err != nil {
			return err
		}
		if rec.Loss != nil {
			if rec.Loss.Pruned() == nil {
				return rec.Loss.Error(r.storeDir())
			}
			continue // pruned, and asked about by nobody who goes by the history
		}
		hash := journal.RecordHash(rec.Raw)
		r.history = append(r.history, hash)
		r.written[hash] = true
	}
	return reader.Close()
}

// readWritten finds the records in what each call wrote.
func (r *recorder) readWritten(id journal.ID) error {
	call := map[int]int{}
	seen := map[journal.Hash]bool{}
	for i := range r.ops {
		o := &r.ops[i]
		if o.kind == opStart {
			call[o.proc] = o.call
		}
		if o.kind != opWrite && o.kind != opWriteAt || path.Base(path.Dir(o.path)) != "journal" {
			continue
		}
		for _, raw := range entries(o.data) {
			ev, err := journal.DecodeRecord(id, journal.Seq(binary.BigEndian.Uint64(raw[4:])), bytes.Clone(raw))
			if err != nil && strings.Contains(o.path, "/.new-") {
				continue // the first event of a store that was never put in place
			}
			if err != nil {
				return fmt.Errorf("operation %d wrote a record that can't be read: %w", i, err)
			}
			if hash := journal.RecordHash(raw); !seen[hash] {
				seen[hash], r.written[hash] = true, true
				c := r.calls[call[o.proc]]
				c.wrote = append(c.wrote, ev)
			}
		}
	}
	return r.answersMatch()
}

// entries splits what was written into records; nil if it is something else.
func entries(data []byte) (records [][]byte) {
	for len(data) > 0 {
		n, w := binary.Uvarint(data)
		if w <= 0 || n < 100 || n > uint64(len(data)-w) || data[w] != 0x93 {
			return nil
		}
		records = append(records, data[w:w+int(n)])
		data = data[w+int(n):]
	}
	return records
}

// answersMatch holds each answer against what was recorded for it.
func (r *recorder) answersMatch() error {
	for _, c := range r.calls {
		if c.verb != "ADD" || c.status != notBegun || !c.answer.OK() {
			continue
		}
		if got := c.given(); len(got) != len(r.sets) || fmt.Sprint(got) != fmt.Sprint(c.answer.IPs) {
			return fmt.Errorf("ADD %s was answered with %v, its event says %v", c.owner.ContainerID, c.answer.IPs, got)
		}
	}
	return nil
}

// given returns the addresses of an ADD, by its answer or else by its event.
func (c *recordedCall) given() []netip.Addr {
	var ips []netip.Addr
	for _, ev := range c.wrote {
		if ev.Kind == journal.KindAdd && ev.ContainerID == c.owner.ContainerID {
			for _, a := range ev.Addresses {
				ips = append(ips, a.IP)
			}
		}
	}
	if c.status == acknowledged {
		return c.answer.IPs // prepared in process
	}
	return ips
}
