package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// withIPAM returns a configuration with one more key in ipam.
func withIPAM(n network, key string, value any) string {
	n.ipam = map[string]any{key: value}
	return n.conf()
}

// withKey returns a configuration with more at the top, as JSON text.
func withKey(n network, text string) string { return strings.Replace(n.conf(), "{", "{"+text+",", 1) }

// ranges returns so many ranges of one address each.
func ranges(count int) [][]any {
	set := make([]any, count)
	for i := range set {
		ip := fmt.Sprintf("10.%d.%d.2", i>>8, i&255)
		set[i] = map[string]any{"subnet": strings.TrimSuffix(ip, ".2") + ".0/24", "rangeStart": ip, "rangeEnd": ip}
	}
	return [][]any{set}
}

const megabytes = 10 << 20 // ten

// badInput is what a new user does wrong. Calls without a verb are ADDs.
var badInput = []struct {
	name string
	call func(n network) call
	code int
	text string // that the error has to hold
}{
	{"empty", func(n network) call { return call{id: "c1"} }, codeDecode, ""},
	{"white space", func(n network) call { return call{id: "c1", conf: " \n"} }, codeDecode, ""},
	{"not JSON", func(n network) call { return call{id: "c1", conf: "subnet: 10.0.0.0/8"} }, codeDecode, ""},
	{"cut off", func(n network) call { return call{id: "c1", conf: n.conf()[:60]} }, codeDecode, ""},
	{"a list", func(n network) call { return call{id: "c1", conf: "[]"} }, codeDecode, ""},
	{"10 MB of brackets", func(n network) call { return call{id: "c1", conf: strings.Repeat("[", megabytes)} }, codeDecode, ""},
	{"10 MB of zeros", func(n network) call { return call{id: "c1", conf: strings.Repeat("\x00", megabytes)} }, codeDecode, ""},
	{"10 MB as a name", func(n network) call {
		n.name = strings.Repeat("n", megabytes)
		return n.add("c1")
	}, codeConfig, ""},
	{"10 MB of ranges", func(n network) call {
		set := strings.Repeat(`{"subnet":"10.1.2.0/24"},`, megabytes/25)
		return call{id: "c1", conf: strings.Replace(withIPAM(n, "ranges", "@"), `"@"`, "[["+set+`{}]]`, 1)}
	}, codeConfig, "4096"},
	{"10 MB of addresses", func(n network) call {
		ips := strings.TrimSuffix(strings.Repeat(`"10.1.2.3",`, megabytes/11), ",")
		return call{id: "c1", conf: withKey(n, `"runtimeConfig":{"ips":[`+ips+`,"x"]}`)}
	}, codeConfig, ""},
	{"deep nesting", func(n network) call {
		return call{id: "c1", conf: withKey(n, `"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))}
	}, codeDecode, "depth"},
	{"5000 ranges", func(n network) call { return call{id: "c1", conf: withIPAM(n, "ranges", ranges(5000))} }, codeConfig, "5000 ranges"},
	{"no ipam", func(n network) call {
		return call{id: "c1", conf: `{"cniVersion":"1.0.0","name":"pods","type":"bridge"}`}
	}, codeConfig, "ipam"},
	{"no ranges", func(n network) call { return call{id: "c1", conf: withIPAM(n, "ranges", []any{})} }, codeConfig, "no IP ranges"},
	{"no name", func(n network) call { n.name = ""; return n.add("c1") }, codeConfig, "name"},
	{"name of 300 characters", func(n network) call { n.name = strings.Repeat("n", 300); return n.add("c1") }, codeConfig, "300"},
	{"name with a slash", func(n network) call { n.name = "../up"; return n.add("c1") }, codeConfig, ""},
	{"name is not UTF-8", func(n network) call {
		return call{id: "c1", conf: strings.Replace(n.conf(), `"pods"`, "\"p\xff\xfe\"", 1)}
	}, codeConfig, ""},
	{"subnet is not UTF-8", func(n network) call {
		return call{id: "c1", conf: strings.Replace(n.conf(), "10.1.0.0", "10.1.\xff.0", 1)}
	}, codeConfig, ""},
	{"unknown version", func(n network) call {
		return call{id: "c1", conf: strings.Replace(n.conf(), `"1.1.0"`, `"9.9.9"`, 1)}
	}, 1, ""},
	{"no container ID", func(n network) call { return n.add("") }, codeEnvironment, "CNI_CONTAINERID"},
	{"container ID with a slash", func(n network) call { return n.add("a/b") }, codeEnvironment, ""},
	{"container ID is not UTF-8", func(n network) call { return n.add("a\xffb") }, codeEnvironment, ""},
	{"container ID of 5000 characters", func(n network) call { return n.add(strings.Repeat("c", 5000)) }, codeEnvironment, "5000 bytes"},
	{"unknown argument", func(n network) call { c := n.add("c1"); c.env = []string{"CNI_ARGS=COLOUR=red"}; return c }, codeEnvironment, "COLOUR"},
	{"requested address is none", func(n network) call { c := n.add("c1"); c.env = []string{"CNI_ARGS=IP=\xff"}; return c }, codeEnvironment, ""},
	{"unknown verb", func(n network) call { return call{verb: "STRAY", id: "c1", conf: n.conf()} }, codeEnvironment, "STRAY"},
	{"lockTimeout", func(n network) call { return call{id: "c1", conf: withIPAM(n, "lockTimeout", "soon")} }, codeConfig, "lockTimeout"},
	{"no resolv.conf", func(n network) call {
		return call{id: "c1", conf: withIPAM(n, "resolvConf", "/no/such/resolv.conf")}
	}, codeStorage, "/no/such/resolv.conf"},
	{"dataDir is too long", func(n network) call {
		n.dataDir += "/" + strings.Repeat("d", 300)
		return n.add("c1")
	}, codeStorage, ""},
	{"dataDir holds a NUL", func(n network) call { n.dataDir += "\x00"; return n.add("c1") }, codeStorage, ""},
}

// TestBadInput: each of them gets one error, and nothing is made.
func TestBadInput(t *testing.T) {
	for _, test := range badInput {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			before := tree(t, filepath.Dir(n.dataDir))
			c := test.call(n)
			if c.verb == "" {
				c.verb = "ADD"
			}
			a := refused(t, c, test.code)
			if !strings.Contains(a.msg, test.text) {
				t.Errorf("got %q, want %q in it", a.msg, test.text)
			}
			if len(a.msg) > 4096 && len(c.conf) < megabytes {
				t.Errorf("an error text of %d bytes", len(a.msg))
			}
			untouched(t, filepath.Dir(n.dataDir), before)
		})
	}
}

// TestUnusualInput is what looks wrong and has to work.
func TestUnusualInput(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
	for _, test := range []struct {
		name string
		call func(n network) call
	}{
		{"container ID with every character", func(n network) call { return n.add(allowed) }},
		{"container ID of 3000 characters", func(n network) call { return n.add(strings.Repeat("c", 3000)) }},
		{"name of 255 characters", func(n network) call { n.name = strings.Repeat("n", 255); return n.add("c1") }},
		{"name with every character", func(n network) call { n.name = allowed; return n.add("c1") }},
		{"10 MB in a key of others", func(n network) call {
			return call{id: "c1", conf: withKey(n, `"x":"`+strings.Repeat("x", 10<<20)+`"`)}
		}},
		{"nested 9000 deep", func(n network) call {
			return call{id: "c1", conf: withKey(n, `"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000))}
		}},
		{"1000 ranges", func(n network) call { return call{id: "c1", conf: withIPAM(n, "ranges", ranges(1000))} }},
		{"netns is not UTF-8", func(n network) call { c := n.add("c1"); c.netns = "/run/\xff\xfe"; return c }},
		{"netns of 20000 characters", func(n network) call { c := n.add("c1"); c.netns = strings.Repeat("/n", 10000); return c }},
		{"pod is not UTF-8", func(n network) call {
			c := n.add("c1")
			c.env = []string{"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=\xff;K8S_POD_NAMESPACE=\xc0\x80", "TRACEPARENT=\xff"}
			return c
		}},
		{"pod name of 100000 characters", func(n network) call {
			c := n.add("c1")
			c.env = []string{"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=" + strings.Repeat("p", 100_000)}
			return c
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			c := test.call(n)
			for _, name := range []string{"n", "A"} { // the name may be the test's own
				if i := strings.Index(c.conf, `"name":"`+name); i >= 0 {
					n.name, _, _ = strings.Cut(c.conf[i+len(`"name":"`):], `"`)
				}
			}
			for _, verb := range []string{"ADD", "CHECK", "STATUS"} {
				c.verb = verb
				must(t, c)
			}
			if h := readHistory(t, n); len(h.leases[c.id]) != 1 {
				t.Errorf("got leases %v, want one of %.80s", h.leases, c.id)
			}
			c.verb = "DEL"
			must(t, c)
			if h := readHistory(t, n); len(h.leases) != 0 {
				t.Errorf("got leases %v, want none", h.leases)
			}
		})
	}
}

// TestLongIDsElsewhere has the other verbs meet a container that ADD refuses.
func TestLongIDsElsewhere(t *testing.T) {
	n := newNetwork(t)
	must(t, n.add("c1"))
	before := tree(t, n.dataDir)
	long := strings.Repeat("c", 5000)
	refused(t, n.check(long), codeNoLease)
	untouched(t, n.dataDir, before)
	must(t, n.del(long))
	must(t, n.add("c2"))
	readHistory(t, n)
}

// TestThingInTheWay has something else stand where a file or folder of the store should be.
func TestThingInTheWay(t *testing.T) {
	folder := func(path string) error {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o700)
	}
	file := func(path string) error {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return os.WriteFile(path, []byte("x"), 0o600)
	}
	for _, test := range []struct {
		name  string
		made  bool // there is a store
		path  string
		place func(path string) error
		check int // code of CHECK, which doesn't look at what only writers need; 0 is success
	}{
		{"dataDir is a file", false, "", file, codeStorage},
		{"data folder is a file", false, "pods", file, codeNoLease},
		{"claim is a folder", false, "pods/leaselog", folder, codeStorage},
		{"history folder is a file", false, ".leaselog", file, codeStorage},
		{"creation lock is a folder", false, ".leaselog/.lock", folder, codeNoLease},
		{"store is a file", false, ".leaselog/pods", file, codeStorage},
		{"data folder is a file, with a store", true, "pods", file, codeStorage},
		{"claim is a folder, with a store", true, "pods/leaselog", folder, codeStorage},
		{"lock is a folder", true, ".leaselog/pods/lock", folder, 0},
		{"META is a folder", true, ".leaselog/pods/META", folder, codeStorage},
		{"journal is a file", true, ".leaselog/pods/journal", file, codeStorage},
		{"segment is a folder", true, ".leaselog/pods/journal/00000000000000000001", folder, codeStorage},
		{"snapshots are a file", true, ".leaselog/pods/snap", file, codeStorage},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			if test.made {
				must(t, n.add("c1"))
			}
			path := filepath.Join(n.dataDir, test.path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := test.place(path); err != nil {
				t.Fatal(err)
			}
			before := tree(t, filepath.Dir(n.dataDir))
			a := refused(t, n.add("c2"), codeStorage)
			if !strings.Contains(a.msg, strings.TrimSuffix(path, "/")) {
				t.Errorf("got %q, want it to name %s", a.msg, path)
			}
			if a := do(t, n.check("c1")); a.code != test.check {
				t.Errorf("%v: want code %d", a, test.check)
			}
			if a := do(t, n.status()); a.code != codeUnavailable {
				t.Errorf("%v: want code %d", a, codeUnavailable)
			}
			untouched(t, filepath.Dir(n.dataDir), before)
			if test.made {
				refused(t, n.del("c1"), codeStorage)
				untouched(t, filepath.Dir(n.dataDir), before)
			}
		})
	}
}

// TestUnwritable has the plugin run as a user who may not write. It ends as on a read-only disk.
func TestUnwritable(t *testing.T) {
	n := newNetwork(t)
	c := n.add("c1")
	if os.Geteuid() == 0 {
		c.as = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	parent := filepath.Dir(n.dataDir)
	if err := os.Chmod(filepath.Dir(parent), 0o755); err != nil { // testing makes it 0700
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(parent, 0o755) })
	before := tree(t, parent)
	if a := refused(t, c, codeStorage); !strings.Contains(a.msg, "permission denied") {
		t.Errorf("got %q, want the reason", a.msg)
	}
	for _, want := range []struct {
		verb string
		code int
	}{{"CHECK", codeNoLease}, {"STATUS", codeUnavailable}, {"DEL", 0}, {"GC", 0}} {
		c.verb = want.verb
		if a := do(t, c); a.code != want.code {
			t.Errorf("%v: want code %d", a, want.code)
		}
	}
	untouched(t, parent, before)
}
