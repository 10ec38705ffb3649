package contract_test

import (
	"strings"
	"testing"
)

// net wraps the part of a configuration that is named ipam.
func net(version, ipam string) string {
	return `{"cniVersion":"` + version + `","name":"n","type":"bridge","ipam":` + ipam + `}`
}

// with returns a working ipam part with more keys.
func with(keys string) string {
	return `{"type":"host-local","dataDir":"@DIR@","subnet":"10.1.2.0/24"` + keys + `}`
}

const plain = `{"cniVersion":"1.0.0","name":"n","ipam":{"type":"host-local","dataDir":"@DIR@","subnet":"10.1.2.0/24"}}`

func TestEnvironment(t *testing.T) {
	long := strings.Repeat("a", 16)
	for _, s := range []step{
		{name: "no command", env: []string{"CNI_COMMAND"}},
		{name: "nothing but the command", verb: "ADD", env: []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
		{name: "DEL without netns", verb: "DEL", env: []string{"CNI_NETNS"}, conf: plain},
		{name: "DEL without interface name", verb: "DEL", env: []string{"CNI_IFNAME"}, conf: plain},
		{name: "bad container ID", verb: "ADD", id: "a b", conf: plain},
		{name: "container ID with a leading dash", verb: "ADD", id: "-a", conf: plain},
		{name: "every character in a container ID", verb: "ADD", id: "aZ0_.-", conf: plain},
		{name: "long interface name", verb: "ADD", env: []string{"CNI_IFNAME=" + long}, conf: plain},
		{name: "longest interface name", verb: "ADD", env: []string{"CNI_IFNAME=" + long[1:]}, conf: plain},
		{name: "interface name is a dot", verb: "ADD", env: []string{"CNI_IFNAME=."}, conf: plain},
		{name: "interface name is two dots", verb: "ADD", env: []string{"CNI_IFNAME=.."}, conf: plain},
		{name: "slash in interface name", verb: "ADD", env: []string{"CNI_IFNAME=a/b"}, conf: plain},
		{name: "blank in interface name", verb: "ADD", env: []string{"CNI_IFNAME=a b"}, conf: plain},
		{name: "small letters", verb: "add", conf: plain},
		{name: "unknown verb", verb: "FOO", conf: plain},
		{name: "STATUS without path", verb: "STATUS", env: []string{"CNI_PATH"}, conf: plain},
		{name: "VERSION", verb: "VERSION", conf: `{"cniVersion":"0.3.0"}`},
		{name: "VERSION without input", verb: "VERSION"},
	} {
		t.Run(s.name, func(t *testing.T) { compare(t, []step{s}) })
	}
}

func TestStandardInput(t *testing.T) {
	for _, s := range []step{
		{name: "empty", conf: ""},
		{name: "not JSON", conf: "{"},
		{name: "JSON and more", conf: plain + "x"},
		{name: "an array", conf: "[]"},
		{name: "null", conf: "null"},
		{name: "no name", conf: `{"cniVersion":"1.0.0"}`},
		{name: "empty name", conf: `{"cniVersion":"1.0.0","name":""}`},
		{name: "name is a number", conf: `{"cniVersion":"1.0.0","name":1}`},
		{name: "name with a slash", conf: `{"cniVersion":"1.0.0","name":"a/b"}`},
		{name: "name with angle brackets", conf: `{"cniVersion":"1.0.0","name":"<a>"}`},
		{name: "name with dots", conf: strings.Replace(plain, `"n"`, `"a..b"`, 1)},
		{name: "name ends with a dot", conf: strings.Replace(plain, `"n"`, `"a."`, 1)},
		{name: "version is a number", conf: `{"cniVersion":1,"name":"n"}`},
		{name: "version 9.9.9", conf: net("9.9.9", with(""))},
		{name: "version 1.0", conf: net("1.0", with(""))},
		{name: "version 1", conf: net("1", with(""))},
		{name: "version 1.2.0", conf: net("1.2.0", with(""))},
		{name: "version abc", conf: net("abc", with(""))},
		{name: "empty version", conf: net("", with(""))},
		{name: "no version", conf: strings.Replace(plain, `"cniVersion":"1.0.0",`, "", 1)},
		{name: "large letters in keys", conf: `{"CNIVERSION":"1.0.0","NAME":"n","Ipam":{"DATADIR":"@DIR@","SUBNET":"10.1.2.0/24"}}`},
		{name: "key twice", conf: `{"cniVersion":"1.0.0","name":"n","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"ipam":{"subnet":"10.9.9.0/24"}}`},
		{name: "unknown keys", conf: `{"cniVersion":"1.0.0","name":"n","x":{"y":1},"ipam":{"z":[],"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24","w":1}]]}}`},
	} {
		s.verb = "ADD"
		t.Run(s.name, func(t *testing.T) { compare(t, []step{s}) })
	}
}

func TestVersionOfVerb(t *testing.T) {
	for _, verb := range []string{"CHECK", "GC", "STATUS"} {
		for _, version := range []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "9.9.9", "0.9.0", "abc"} {
			t.Run(verb+" "+version, func(t *testing.T) {
				s := step{verb: verb, conf: net(version, with(""))}
				if verb == "CHECK" && (version == "0.4.0" || version == "1.0.0") {
					s.code = 103
				}
				compare(t, []step{s})
			})
		}
	}
}

// TestTypes has values that are JSON but of the wrong type: Go's own texts, with
// host-local's names of types in them.
func TestTypes(t *testing.T) {
	for _, value := range []string{`"x"`, `""`, `5`, `-1.5`, `1e400`, `true`, `[]`, `[5]`, `["x"]`, `[[]]`, `[[5]]`, `{}`, `{"a":1}`, `null`, `[null]`, `[[null]]`, `[{}]`, `[[{}]]`} {
		for _, conf := range []string{
			`{"name":"n","cniVersion":"1.0.0","ipam":VALUE}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","rangeStart":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","rangeEnd":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","gateway":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","name":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","type":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","resolvConf":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","ranges":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":VALUE}]]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24","rangeStart":VALUE}]]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24","gateway":VALUE}]]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","routes":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","routes":[{"dst":VALUE}]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0","gw":VALUE}]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0","mtu":VALUE}]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0","table":VALUE}]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"runtimeConfig":VALUE}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"runtimeConfig":{"ips":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"runtimeConfig":{"ipRanges":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"runtimeConfig":{"ipRanges":[[{"subnet":VALUE}]]}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"args":VALUE}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"args":{"cni":VALUE}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24"},"args":{"cni":{"ips":VALUE}}}`,
			`{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":VALUE,"subnet":"bad"}}`,
		} {
			conf = strings.Replace(conf, "VALUE", value, 1)
			t.Run(conf, func(t *testing.T) { compareConfig(t, conf) })
		}
	}
}

// compareConfig compares an ADD with a configuration of which host-local decides
// whether it is valid: whatever it calls 999 is 7 with us, and what crashes it is 7 too.
func compareConfig(t *testing.T, conf string) {
	t.Helper()
	needHostLocal(t)
	s := step{verb: "ADD", conf: conf}
	oursDir, theirsDir := t.TempDir(), t.TempDir()
	theirs, ours := s.run(t, hostLocal, theirsDir), s.run(t, leaselog, oursDir)
	want := theirs
	want.stdout = strings.Replace(want.stdout, `"code": 999`, `"code": 7`, 1)
	switch {
	case strings.Contains(theirs.stdout, `"msg": "open `):
		want.stdout = strings.Replace(theirs.stdout, `"code": 999`, `"code": 5`, 1)
	case theirs.exit == 2:
		want = *failure(7, "cannot understand ip: IP <nil> not v4 nor v6")
	case strings.Contains(conf, `"routes":[null]`):
		want = *failure(7, "route 0 is null")
	}
	if ours.stdout != want.stdout || ours.exit != want.exit {
		t.Errorf("got %v\nwant %v\nhost-local: %v %s", ours, want, theirs, theirs.stderr)
	}
}

func TestRanges(t *testing.T) {
	for _, test := range []struct{ name, conf string }{
		{"no ipam", `{"name":"n","cniVersion":"1.0.0"}`},
		{"ipam is null", net("1.0.0", `null`)},
		{"no ranges", net("1.0.0", `{"dataDir":"@DIR@"}`)},
		{"empty list", net("1.0.0", `{"dataDir":"@DIR@","ranges":[]}`)},
		{"start without subnet", net("1.0.0", `{"dataDir":"@DIR@","rangeStart":"10.1.2.5"}`)},
		{"start without subnet beside ranges", net("1.0.0", `{"dataDir":"@DIR@","rangeStart":"10.9.9.9","gateway":"1.1.1.1","ranges":[[{"subnet":"10.1.2.0/24"}]]}`)},
		{"empty set", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"}],[]]}`)},
		{"null set", net("1.0.0", `{"dataDir":"@DIR@","ranges":[null]}`)},
		{"null range", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[null]]}`)},
		{"range without subnet", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"rangeStart":"10.1.2.5"}]]}`)},
		{"bad CIDR", net("1.0.0", `{"dataDir":"@DIR@","subnet":"foo"}`)},
		{"subnet without length", net("1.0.0", `{"dataDir":"@DIR@","subnet":"10.1.2.0"}`)},
		{"empty subnet", net("1.0.0", `{"dataDir":"@DIR@","subnet":""}`)},
		{"null subnet", net("1.0.0", `{"dataDir":"@DIR@","subnet":null}`)},
		{"bad address", net("1.0.0", with(`,"rangeStart":"foo"`))},
		{"address with zone", net("1.0.0", with(`,"gateway":"fe80::1%eth0"`))},
		{"empty optional parts", net("1.0.0", with(`,"rangeStart":"","rangeEnd":"","gateway":""`))},
		{"/31", net("1.0.0", `{"dataDir":"@DIR@","subnet":"10.1.2.0/31"}`)},
		{"/32", net("1.0.0", `{"dataDir":"@DIR@","subnet":"10.1.2.7/32"}`)},
		{"/30", net("1.0.0", `{"dataDir":"@DIR@","subnet":"10.1.2.0/30"}`)},
		{"/127", net("1.0.0", `{"dataDir":"@DIR@","subnet":"2001:db8::/127"}`)},
		{"/126", net("1.0.0", `{"dataDir":"@DIR@","subnet":"2001:db8::/126"}`)},
		{"/0", net("1.0.0", `{"dataDir":"@DIR@","subnet":"0.0.0.0/0"}`)},
		{"::/0", net("1.0.0", `{"dataDir":"@DIR@","subnet":"::/0"}`)},
		{"mapped subnet", net("1.0.0", `{"dataDir":"@DIR@","subnet":"::ffff:10.1.2.0/120"}`)},
		{"small mapped subnet", net("1.0.0", `{"dataDir":"@DIR@","subnet":"::ffff:10.1.2.0/127"}`)},
		{"mapped parts", net("1.0.0", with(`,"rangeStart":"::ffff:10.1.2.7","rangeEnd":"::ffff:10.1.2.9","gateway":"::ffff:10.1.2.3"`))},
		{"host bits", net("1.0.0", `{"dataDir":"@DIR@","subnet":"10.1.2.5/24"}`)},
		{"host bits IPv6", net("1.0.0", `{"dataDir":"@DIR@","subnet":"2001:db8::5/64"}`)},
		{"start outside", net("1.0.0", with(`,"rangeStart":"10.1.3.5"`))},
		{"start of the other family", net("1.0.0", with(`,"rangeStart":"2001:db8::5"`))},
		{"start is the network address", net("1.0.0", with(`,"rangeStart":"10.1.2.0"`))},
		{"end outside", net("1.0.0", with(`,"rangeEnd":"10.1.3.5"`))},
		{"end before start", net("1.0.0", with(`,"rangeStart":"10.1.2.9","rangeEnd":"10.1.2.8"`))},
		{"end is the network address", net("1.0.0", with(`,"rangeEnd":"10.1.2.0"`))},
		{"end is the broadcast address", net("1.0.0", with(`,"rangeStart":"10.1.2.255","rangeEnd":"10.1.2.255"`))},
		{"gateway outside", net("1.0.0", with(`,"gateway":"192.0.2.1"`))},
		{"gateway of the other family", net("1.0.0", with(`,"gateway":"2001:db8::1"`))},
		{"gateway 0.0.0.0", net("1.0.0", with(`,"gateway":"0.0.0.0"`))},
		{"only the gateway is in the range", net("1.0.0", with(`,"gateway":"10.1.2.7","rangeStart":"10.1.2.6","rangeEnd":"10.1.2.7"`))},
		{"mixed families", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"2001:db8::/64"}]]}`)},
		{"overlap in a set", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.0.0/22"},{"subnet":"10.1.2.0/24"}]]}`)},
		{"overlap across sets", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.0.0/22"}],[{"subnet":"10.9.0.0/24"}],[{"subnet":"10.1.2.0/24"}]]}`)},
		{"one subnet in two sets", net("1.0.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24","rangeEnd":"10.1.2.9"}],[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.10"}]]}`)},
		{"overlap with the single range", net("1.0.0", with(`,"ranges":[[{"subnet":"10.1.2.0/24"}]]`))},
		{"two of a family in 0.2.0", net("0.2.0", with(`,"ranges":[[{"subnet":"10.1.3.0/24"}]]`))},
		{"two of a family without version", `{"name":"n","ipam":` + with(`,"ranges":[[{"subnet":"10.1.3.0/24"}]]`) + `}`},
		{"two IPv6 in 0.1.0", net("0.1.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"2001:db8::/64"}],[{"subnet":"2001:db9::/64"}]]}`)},
		{"two of a family before overlap", net("0.2.0", with(`,"ranges":[[{"subnet":"10.1.2.0/24"}]]`))},
		{"two of a family in 0.3.0", net("0.3.0", with(`,"ranges":[[{"subnet":"10.1.3.0/24"}]]`))},
		{"bad set before overlap", net("1.0.0", with(`,"ranges":[[{"subnet":"10.1.2.0/24"}],[]]`))},
		{"ranges of the call come first", `{"name":"n","cniVersion":"1.0.0","ipam":` + with(`,"ranges":[[{"subnet":"10.1.3.0/24"}]]`) + `,"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.4.0/24"}],[{"subnet":"10.1.5.0/24"}]]}}`},
		{"ranges of the call alone", `{"name":"n","cniVersion":"1.0.0","ipam":{"dataDir":"@DIR@"},"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.4.0/24","rangeStart":"10.1.4.9"}]]}}`},
		{"bad ranges of the call", `{"name":"n","cniVersion":"1.0.0","ipam":` + with("") + `,"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.4.1/24"}]]}}`},
		{"type is not looked at", net("1.0.0", `{"type":"whatever","dataDir":"@DIR@","subnet":"10.1.2.0/24"}`)},
		{"prevResult is not merged", `{"name":"n","cniVersion":"1.0.0","ipam":` + with("") + `,"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.7.7.7/24"}],"dns":{"domain":"x"}},"dns":{"domain":"y"}}`},
		{"JSON before ipam", `{"name":"n","cniVersion":"1.0.0","runtimeConfig":5}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			compareRange(t, test.conf)
		})
	}
}

// compareRange is compareConfig for configurations that may also be exhausted.
func compareRange(t *testing.T, conf string) {
	t.Helper()
	needHostLocal(t)
	theirs := step{verb: "ADD", conf: conf}.run(t, hostLocal, t.TempDir())
	s := step{verb: "ADD", conf: conf}
	if strings.Contains(theirs.stdout, `"code": 999`) {
		s.code = 7
		if strings.Contains(theirs.stdout, "no IP addresses available") {
			s.code = 100
		}
	}
	compare(t, []step{s})
}

func TestArgs(t *testing.T) {
	for _, test := range []struct {
		name, args string
		code       int
	}{
		{"address", "IP=10.1.2.77", 0},
		{"address with length", "IP=10.1.2.77/8", 0},
		{"mapped address", "IP=::ffff:10.1.2.77", 0},
		{"empty address", "IP=", 0},
		{"last one counts", "IP=10.1.2.77;IP=10.1.2.78", 0},
		{"last one is empty", "IP=10.1.2.77;IP=", 0},
		{"two equals signs", "A=b=c", 4},
		{"trailing semicolon", "IP=10.1.2.77;", 4},
		{"unknown", "FOO=bar;IP=10.1.2.77;BAR=", 4},
		{"unknown ignored", "FOO=bar;IgnoreUnknown=1;IP=10.1.2.77", 0},
		{"unknown ignored, in words", "FOO=bar;IgnoreUnknown=TRUE", 0},
		{"unknown not ignored", "FOO=bar;IgnoreUnknown=0", 4},
		{"bad address", "IP=foo", 4},
		{"bad length", "IP=10.1.2.77/33", 4},
		{"bad bool", "IgnoreUnknown=maybe", 4},
		{"small letters", "ip=10.1.2.77", 4},
		{"no name", "=x", 4},
		{"field of the library", "CommonArgs=1", 4},
		{"semicolon alone", ";", 4},
		{"Kubernetes", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=1-2", 0},
		{"Kubernetes, not ignored", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			compare(t, []step{{verb: "ADD", env: []string{"CNI_ARGS=" + test.args}, conf: plain, code: test.code}})
		})
	}
	t.Run("ipam is missed first", func(t *testing.T) {
		compare(t, []step{{verb: "ADD", env: []string{"CNI_ARGS=a"}, conf: `{"name":"n"}`, code: 7}})
	})
	t.Run("arguments before ranges", func(t *testing.T) {
		compare(t, []step{{verb: "ADD", env: []string{"CNI_ARGS=a"}, conf: net("1.0.0", `{}`), code: 4}})
	})
}
