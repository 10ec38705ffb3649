package contract_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
)

// TestRecorded has what a call says about itself in the journal, whoever believes it.
func TestRecorded(t *testing.T) {
	dir := t.TempDir()
	env := []string{
		"CNI_NETNS=/run/netns/a", "TRACEPARENT=00-aa-bb-01",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;K8S_POD_UID=u-1",
	}
	ofCall := strings.Replace(small, `"name"`, `"runtimeConfig":{"ipRanges":[[{"subnet":"10.7.0.0/16"}]]},"name"`, 1)
	for _, s := range []step{
		{verb: "ADD", conf: ofCall, env: env},
		{verb: "ADD", conf: small, env: env}, // refused
		{verb: "DEL", conf: small, env: append(env[1:2:2], "CNI_ARGS=K8S_POD_NAME=web;a=b=c", "CNI_NETNS=/run/netns/b")},
		{verb: "ADD", id: "c2", conf: small},
		{verb: "GC", conf: strings.Replace(small, `"name"`, `"cni.dev/valid-attachments":[],"name"`, 1)},
	} {
		s.run(t, leaselog, dir)
	}
	r, err := journal.OpenReader(filepath.Join(dir, ".leaselog", "n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		ev := rec.Event
		switch ev.Kind {
		case journal.KindGenesis, journal.KindConfig:
			continue
		case journal.KindAdd:
			if ev.Version != "v0.0.0-test" {
				t.Errorf("event %d: version %q", ev.Seq, ev.Version)
			}
		}
		got = append(got, fmt.Sprintf("%s %s/%s %s %s/%s/%s %s sets=%d code=%d", ev.Kind, ev.ContainerID, ev.IfName,
			ev.NetNS, ev.Pod.Namespace, ev.Pod.Name, ev.Pod.UID, ev.TraceParent, len(ev.Ranges), ev.Code))
	}
	want := []string{
		"add c1/eth0 /run/netns/a ns/web/u-1 00-aa-bb-01 sets=1 code=0",
		"refuse c1/eth0 /run/netns/a ns/web/u-1 00-aa-bb-01 sets=0 code=101",
		"del c1/eth0 /run/netns/b /web/ 00-aa-bb-01 sets=0 code=0",
		"add c2/eth0 /no/such/netns //  sets=0 code=0",
		"del c2/eth0 /no/such/netns //  sets=0 code=0",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
