package rot_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// TestVerify has replay.Verify look at damaged stores. What makes a difference to anybody is found, in its file
// and from its event on; what makes none is not.
func TestVerify(t *testing.T) {
	p := newPool(t)
	p.do = (*worker).verify
	var jobs, marker []job
	for _, file := range p.f.names {
		content := p.content(file)
		stride := 13 // bits of a byte take turns; all are found by the same checksum
		switch kindOf(file) {
		case "newest segment", "META", "claim":
			stride = 1
		case "newer snapshot", "older snapshot":
			stride = 61
		case "reserve":
			stride = 4093
		}
		for i, d := range damages(content, stride, stride, 3) {
			j := job{file, []mode{modeLive, modeRebooted, modeStale, modeCopy}[i%4], d, noCalls}
			if file == lockFile {
				marker = append(marker, j)
			} else {
				jobs = append(jobs, j)
			}
		}
	}
	p.run(jobs, runtime.GOMAXPROCS(0))
	p.run(marker, 64)
	p.counts.log(t)
}

func (w *worker) verify(t testing.TB, j job) (o outcome, err error) {
	err = w.with(t, j, func() (err error) {
		w.quiet = true
		v, err := replay.Verify(w.path(storeDir), w.path("net"))
		if err != nil {
			return err
		}
		o, err = w.judgeFindings(j, v)
		return err
	})
	return o, err
}

// judgeFindings holds findings against the oracle.
func (w *worker) judgeFindings(j job, v *replay.Verified) (outcome, error) {
	p := w.f.predict(j, w.content(j.file, j.mode))
	var files []string
	var first journal.Seq
	o := namedToHistory
	switch {
	case p.historyAt != nil:
		files, first = p.historyAt.files, p.historyAt.seq
	case p.callsAt != nil && p.calls == refuse:
		files, first = p.callsAt.files, p.callsAt.seq
	case j.file == lockFile, strings.HasPrefix(j.file, snapDir+"/") && j.damage.kind != remove:
		files = []string{j.file}
	case p.calls == repair, p.calls == reset, p.calls == either:
		return harmless, nil // what the next call will do of itself
	default:
		o = harmless
	}
	if (o == harmless) != v.Clean() {
		return o, fmt.Errorf("findings %+v, want some: %t", v.Findings, o != harmless)
	}
	if o == harmless {
		return o, nil
	}
	found := slices.ContainsFunc(v.Findings, func(f replay.Finding) bool {
		return f.Severity != replay.SeverityNote && (first == 0 || f.First == first) && slices.ContainsFunc(files, func(name string) bool {
			return w.path(storeDir+f.File) == w.path(name) || f.File == w.path(name) || filepath.Dir(w.path(name)) == w.path(storeDir+f.File)
		})
	})
	if !found {
		return o, fmt.Errorf("findings %+v, want one about %q, event %d", v.Findings, files, first)
	}
	return o, nil
}
