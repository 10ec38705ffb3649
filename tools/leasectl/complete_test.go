package main

import (
	"context"
	"io"
	"testing"
)

// TestCompleteInTime: when the time is up, what is known by then is offered.
func TestCompleteInTime(t *testing.T) {
	dataDir := t.TempDir()
	events, err := parseEvents("10 add id=c1 ip=10.0.0.2/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := oldStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: io.Discard, stderr: io.Discard, dataDirs: []string{dataDir}}
	ctx, stop := context.WithCancel(t.Context())
	if k := a.known(ctx); !k.addresses["10.0.0.2"] || !k.containers["c1"] {
		t.Errorf("in time: %+v, want 10.0.0.2 and c1", k)
	}
	stop()
	if k := a.known(ctx); len(k.addresses) > 0 || !k.networks["net"] {
		t.Errorf("too late: %+v, want the network alone", k)
	}
}

// TestOffered: what a shell would take for more than a word is not offered.
func TestOffered(t *testing.T) {
	names := map[string]bool{"web": true, "we b": true, "we\x1b": true, "we\tb": true, "we\nb": true, "we$(x)": true, "we`x`": true, "we'b": true, "other": true}
	if got := offered(names, "we"); len(got) != 1 || got[0] != "web" {
		t.Errorf("offered %q, want web alone", got)
	}
}
