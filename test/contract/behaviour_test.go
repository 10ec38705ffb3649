package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dual has a range set of each family.
const dual = `{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}]]}}`

// small has two addresses beside the gateway.
const small = `{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"@DIR@","subnet":"10.1.2.0/24","rangeEnd":"10.1.2.3"}}`

func args(ip string) []string { return []string{"CNI_ARGS=IP=" + ip} }

func TestAdd(t *testing.T) {
	moved := strings.Replace(plain, "10.1.2.0", "10.7.7.0", 1)
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"duplicate", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: plain, code: 101},
			{verb: "CHECK", conf: plain},
		}},
		{"duplicate of either family", []step{
			{verb: "ADD", conf: dual},
			{verb: "ADD", conf: dual, code: 101},
		}},
		{"address outside the ranges of today", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: moved},
			{verb: "ADD", conf: plain, code: 101},
			{verb: "DEL", conf: plain},
			{verb: "CHECK", conf: plain, code: 103},
			{verb: "ADD", conf: moved},
		}},
		{"request for the address held", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: plain, env: args("10.1.2.2"), code: 102},
		}},
		{"request for another address", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: plain, env: args("10.1.2.9")},
			{verb: "ADD", conf: plain, code: 101},
			{verb: "ADD", id: "c2", conf: plain},
			{verb: "DEL", conf: plain},
			{verb: "ADD", id: "c3", conf: plain, env: args("10.1.2.9")},
		}},
		{"other interface", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: plain, env: []string{"CNI_IFNAME=eth1"}},
			{verb: "DEL", conf: plain},
			{verb: "CHECK", conf: plain, env: []string{"CNI_IFNAME=eth1"}},
			{verb: "CHECK", conf: plain, code: 103},
		}},
		{"two networks", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: strings.Replace(plain, `"n"`, `"N"`, 1)},
			{verb: "DEL", conf: plain},
			{verb: "CHECK", conf: strings.Replace(plain, `"n"`, `"N"`, 1)},
		}},
		{"request for the gateway", []step{{verb: "ADD", conf: plain, env: args("10.1.2.1"), code: 102}}},
		{"request for the network address", []step{{verb: "ADD", conf: plain, env: args("10.1.2.0"), code: 102}}},
		{"request for the broadcast address", []step{{verb: "ADD", conf: plain, env: args("10.1.2.255"), code: 102}}},
		{"request outside", []step{{verb: "ADD", conf: plain, env: args("10.1.3.1"), code: 102}}},
		{"request of the other family", []step{{verb: "ADD", conf: plain, env: args("2001:db8::7"), code: 102}}},
		{"request somebody else's", []step{
			{verb: "ADD", id: "c2", conf: plain},
			{verb: "ADD", conf: plain, env: args("10.1.2.2"), code: 102},
		}},
		{"requests from everywhere", []step{
			{verb: "ADD", env: args("10.1.2.50/8"), conf: `{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}],[{"subnet":"10.3.0.0/16"}],[{"subnet":"10.4.0.0/16"}]]},` +
				`"args":{"cni":{"ips":["2001:DB8:0::7/128","10.1.2.50"]}},"runtimeConfig":{"ips":["10.3.3.3/16","::ffff:10.3.3.3"]}}`},
		}},
		{"request in args", []step{{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"args":{"cni":{"ips":["10.1.2.99"],"labels":[]}},"name"`, 1)}}},
		{"request in runtimeConfig", []step{{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"runtimeConfig":{"ips":["10.1.2.99/24"]},"name"`, 1)}}},
		{"empty request", []step{{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"runtimeConfig":{"ips":[""]},"name"`, 1), code: 7}}},
		{"bad request", []step{{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"runtimeConfig":{"ips":["foo"]},"name"`, 1), code: 7}}},
		{"request for one of two sets", []step{
			{verb: "ADD", env: args("2001:db8::99"), conf: dual},
			{verb: "ADD", id: "c2", conf: dual},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.steps) })
	}
}

func TestOrder(t *testing.T) {
	two := `{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.5","rangeEnd":"10.1.2.6"},{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.1","rangeEnd":"10.1.2.2","gateway":"10.1.2.6"}]]}}`
	narrow := strings.Replace(plain, `"subnet"`, `"rangeStart":"10.1.2.8","rangeEnd":"10.1.2.9","subnet"`, 1)
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"round robin", []step{
			{verb: "ADD", id: "a", conf: plain},
			{verb: "ADD", id: "b", conf: plain},
			{verb: "DEL", id: "a", conf: plain},
			{verb: "ADD", id: "c", conf: plain},
			{verb: "ADD", id: "d", conf: plain},
		}},
		{"exhausted", []step{
			{verb: "ADD", id: "a", conf: small},
			{verb: "ADD", id: "b", conf: small},
			{verb: "ADD", id: "c", conf: small, code: 100},
			{verb: "DEL", id: "b", conf: small}, // the cursor's own address
			{verb: "ADD", id: "c", conf: small},
			{verb: "DEL", id: "a", conf: small},
			{verb: "ADD", id: "d", conf: small},
			{verb: "ADD", id: "e", conf: small, code: 100},
		}},
		{"requests move the cursor", []step{
			{verb: "ADD", id: "a", conf: plain, env: args("10.1.2.100")},
			{verb: "ADD", id: "b", conf: plain},
			{verb: "ADD", id: "c", conf: plain, env: args("10.1.2.254")},
			{verb: "ADD", id: "d", conf: plain},
		}},
		{"two ranges, one with the other's gateway", []step{
			{verb: "ADD", id: "a", conf: two},
			{verb: "ADD", id: "b", conf: two},
			{verb: "ADD", id: "c", conf: two},
			{verb: "ADD", id: "d", conf: two},
			{verb: "ADD", id: "e", conf: two, code: 100},
			{verb: "DEL", id: "a", conf: two},
			{verb: "ADD", id: "e", conf: two},
		}},
		{"cursor outside the ranges of today", []step{
			{verb: "ADD", id: "a", conf: plain},
			{verb: "ADD", id: "b", conf: narrow},
			{verb: "ADD", id: "c", conf: plain},
			{verb: "ADD", id: "d", conf: narrow, code: 100},
			{verb: "ADD", id: "e", conf: plain},
		}},
		{"sets read each other's cursor when they swap", []step{
			{verb: "ADD", id: "a", conf: dual},
			{verb: "ADD", id: "b", conf: `{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"2001:db8::/64"}],[{"subnet":"10.1.2.0/24"}]]}}`},
			{verb: "ADD", id: "c", conf: dual},
			{verb: "ADD", id: "d", conf: `{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"ipRanges":[[{"subnet":"10.9.0.0/16"}]]},"ipam":{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}]]}}`},
			{verb: "ADD", id: "e", conf: dual},
		}},
		{"only a gateway", []step{
			{verb: "ADD", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"10.1.2.0/24","rangeEnd":"10.1.2.1"}`), code: 100},
		}},
		{"IPv6", []step{
			{verb: "ADD", id: "a", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"2001:db8::/126"}`)},
			{verb: "ADD", id: "b", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"2001:db8::/126"}`)},
			{verb: "ADD", id: "c", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"2001:db8::/126"}`), code: 100},
		}},
		{"the last address of all", []step{
			{verb: "ADD", id: "a", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"0.0.0.0/0","rangeStart":"255.255.255.254","rangeEnd":"255.255.255.255"}`)},
			{verb: "ADD", id: "b", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"0.0.0.0/0","rangeStart":"255.255.255.254","rangeEnd":"255.255.255.255"}`)},
			{verb: "ADD", id: "c", conf: net("1.1.0", `{"dataDir":"@DIR@","subnet":"0.0.0.0/0","rangeStart":"255.255.255.254","rangeEnd":"255.255.255.255"}`), code: 100},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.steps) })
	}
}

func TestDel(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"unknown attachment, missing folder", []step{{verb: "DEL", conf: plain}}},
		{"again and again", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: plain},
			{verb: "DEL", conf: plain},
			{verb: "DEL", conf: plain},
			{verb: "ADD", conf: plain},
		}},
		{"other interface", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: plain, env: []string{"CNI_IFNAME=eth9"}},
			{verb: "CHECK", conf: plain},
		}},
		{"without netns, with other ranges", []step{
			{verb: "ADD", conf: dual},
			{verb: "DEL", conf: net("1.1.0", `{"dataDir":"@DIR@","ranges":[[{"subnet":"0.0.0.0/0"}],[{"subnet":"::/0"}]]}`), env: []string{"CNI_NETNS"}},
			{verb: "ADD", id: "c2", conf: dual, env: args("10.1.2.2")},
			{verb: "CHECK", conf: dual, code: 103},
		}},
		{"unreadable resolvConf", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: net("1.0.0", with(`,"resolvConf":"/no/such/file"`))},
			{verb: "CHECK", conf: net("1.0.0", with(`,"resolvConf":"/no/such/file"`)), code: 103},
		}},
		{"unsupported version", []step{{verb: "DEL", conf: net("9.9.9", with(""))}}},
		{"in the plugin's own network namespace", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: plain, env: []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE"}},
			{verb: "CHECK", conf: plain, code: 103},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.steps) })
	}
}

func TestCheck(t *testing.T) {
	prev := func(ips string) string {
		return strings.Replace(plain, `"name"`, `"prevResult":{"cniVersion":"1.0.0","ips":`+ips+`},"name"`, 1)
	}
	compare(t, []step{
		{verb: "CHECK", conf: plain, code: 103},
		{verb: "ADD", conf: plain},
		{verb: "CHECK", conf: plain},
		{verb: "CHECK", conf: prev(`[{"address":"10.1.2.2/24","gateway":"10.1.2.1"}]`)},
		{verb: "CHECK", conf: prev(`[{"address":"192.0.2.7/32"},{"address":"10.1.2.2/24"}]`)},
		{verb: "CHECK", id: "c2", conf: plain, code: 103},
		{verb: "CHECK", conf: net("1.0.0", `{"dataDir":"@DIR@"}`), code: 7},
		{verb: "CHECK", conf: net("1.0.0", with(`,"gateway":"x"`)), code: 7},
		{verb: "CHECK", conf: plain, env: []string{"CNI_ARGS=FOO=1"}, code: 4},
		{verb: "CHECK", conf: plain, env: []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE"}},
	})
}

func TestGCAndStatus(t *testing.T) {
	keep := strings.Replace(dual, `"name"`, `"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}],"name"`, 1)
	compare(t, []step{
		{verb: "GC", conf: keep},
		{verb: "STATUS", conf: dual},
		{verb: "ADD", conf: dual},
		{verb: "GC", conf: dual},
		{verb: "GC", conf: keep},
		{verb: "STATUS", conf: dual},
		{verb: "STATUS", conf: net("1.1.0", `{"dataDir":"@DIR@","ranges":"bad"}`)},
		{verb: "CHECK", conf: dual},
	})
	compare(t, []step{ // a full range is healthy
		{verb: "ADD", id: "a", conf: small},
		{verb: "ADD", id: "b", conf: small},
		{verb: "STATUS", conf: small},
	})
}

func TestNetNS(t *testing.T) {
	compare(t, []step{
		{verb: "ADD", id: "a", conf: plain, env: []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE=true"}},
		{verb: "ADD", id: "b", conf: plain, env: []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE=TRUE"}},
		{verb: "ADD", id: "c", conf: plain, env: []string{"CNI_NETNS=/no/such/netns", "CNI_NETNS_OVERRIDE"}},
		{verb: "ADD", id: "d", conf: plain, env: []string{"CNI_NETNS=/proc/self/status", "CNI_NETNS_OVERRIDE=0"}},
	})
}

func TestResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	lines := "# comment\n; comment\n\n nameserver 1.1.1.1 # not taken\nnameserver\nNameserver 9.9.9.9\ndomain w\ndomain x y\n" +
		"search a b\nsearch c\noptions ndots:1 # taken\nnameserver not-an-address\r\nsortlist z z\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, []byte("search "+strings.Repeat("a ", 40_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	routes := `,"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"},{"dst":"10.5.5.5/16","gw":"2001:db8::9","x":1},{"gw":"10.1.2.9"},` +
		`{"dst":"192.168.0.0/16","gw":"10.1.2.9","mtu":1400,"advmss":-1300,"priority":5,"table":0,"scope":0}]`
	for _, version := range []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		for _, test := range []struct {
			name, conf string
			code       int
		}{
			{"bare", net(version, `{"dataDir":"@DIR@","subnet":"10.1.2.0/24"}`), 0},
			{"IPv6", net(version, `{"dataDir":"@DIR@","subnet":"2001:db8::/64"`+routes+`}`), 0},
			{"dual", net(version, `{"dataDir":"@DIR@","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}]]`+routes+`,"resolvConf":"`+path+`"}`), 0},
			{"IPv6 first", net(version, `{"dataDir":"@DIR@","ranges":[[{"subnet":"2001:db8::/64","gateway":"10.0.0.1"}],[{"subnet":"10.1.2.0/24","gateway":"fe80::1"}]]}`), 0},
			{"no resolvConf", net(version, with(`,"resolvConf":"/no/such/file"`)), 5},
			{"resolvConf is a folder", net(version, with(`,"resolvConf":"/proc"`)), 5},
			{"resolvConf with a long line", net(version, with(`,"resolvConf":"`+long+`"`)), 5},
			{"empty resolvConf", net(version, with(`,"resolvConf":"/dev/null"`)), 0},
			{"empty routes", net(version, with(`,"routes":[]`)), 0},
		} {
			t.Run(version+" "+test.name, func(t *testing.T) {
				compare(t, []step{{verb: "ADD", conf: test.conf, code: test.code}})
			})
		}
	}
}
