package contract_test

import (
	"strings"
	"testing"
)

const dualOwnResult = `{
    "cniVersion": "1.1.0",
    "ips": [
        {
            "address": "10.1.2.3/24",
            "gateway": "10.1.2.1"
        },
        {
            "address": "2001:db8::3/64",
            "gateway": "2001:db8::1"
        }
    ]
}`

// TestDifferences lists where the answers are not host-local's, and why.
func TestDifferences(t *testing.T) {
	gc := func(keys string) string { return strings.Replace(dual, `"name"`, keys+`,"name"`, 1) }
	incomplete := "cni.dev/valid-attachments: entry 0: want containerID and ifname"
	gone := failure(103, "host-local: Failed to find address added by container c1")
	own := []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE"}
	prev := strings.Replace(plain, `"name"`, `"prevResult":{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]},"name"`, 1)
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"netns is checked before the ADD", []step{
			{verb: "ADD", conf: plain, env: own, ours: failure(8, "plugin's netns and netns from CNI_NETNS should not be the same"),
				why: "host-local prints a result, then an error, and keeps the address"},
			{verb: "CHECK", conf: plain, ours: gone, why: "nothing was reserved"},
		}},
		{"a failed ADD keeps what the attachment had", []step{
			{verb: "ADD", conf: dual, env: args("10.1.2.50")},
			{verb: "ADD", conf: dual, env: args("10.1.2.51"), code: 101},
			{verb: "ADD", id: "c2", conf: dual, env: args("10.1.2.50"),
				ours: failure(102, "failed to allocate for range 0: requested IP address 10.1.2.50 is not available in range set 10.1.2.1-10.1.2.254"),
				why:  "host-local frees the address of a running container"},
		}},
		{"a request that can't be met frees nothing", []step{
			{verb: "ADD", conf: plain},
			{verb: "ADD", conf: plain, env: args("10.9.9.9"), code: 101},
			{verb: "CHECK", conf: plain},
		}},
		{"a refused ADD moves no cursor", []step{
			{verb: "ADD", id: "a", conf: dual},
			{verb: "ADD", id: "b", conf: dual, env: args("10.9.9.9"), code: 102},
			{verb: "ADD", id: "c", conf: dual, ours: &answer{stdout: dualOwnResult},
				why: "a refusal is not an allocation; host-local goes on after the addresses it gave back"},
		}},
		{"DEL without ipam finds the store by itself", []step{
			{verb: "DEL", conf: `{"cniVersion":"1.1.0","name":"leaselog-contract"}`, code: 7},
			{verb: "DEL", conf: `{"cniVersion":"1.1.0","name":"leaselog-contract","ipam":"x"}`, code: 7},
			{verb: "DEL", conf: `{"cniVersion":"1.1.0","name":"leaselog-contract","ipam":{"dataDir":5}}`, code: 7},
		}},
		{"DEL with broken ranges", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: net("1.0.0", `{"DATADIR":"@DIR@","subnet":"bad","lockTimeout":"bad","routes":5}`), ours: success(), why: "DEL needs only the place of the store"},
			{verb: "CHECK", conf: plain, ours: gone, why: "it released"},
		}},
		{"DEL with broken arguments", []step{
			{verb: "ADD", conf: plain},
			{verb: "DEL", conf: plain, env: []string{"CNI_ARGS=a=b=c"}, ours: success(), why: "DEL needs no arguments"},
			{verb: "CHECK", conf: plain, ours: gone, why: "it released"},
		}},
		{"CHECK compares", []step{
			{verb: "ADD", conf: plain},
			{verb: "CHECK", conf: prev, ours: failure(103, "10.1.2.2: held by c1/eth0: not in prevResult"), why: "the container has an address that nobody reserved"},
			{verb: "CHECK", conf: strings.Replace(prev, `"ips":[{"address":"10.1.2.3/24"}]`, `"x":1`, 1), ours: failure(103, "10.1.2.2: held by c1/eth0: not in prevResult"), why: "as before"},
		}},
		{"GC releases what is not listed", []step{
			{verb: "ADD", conf: dual},
			{verb: "ADD", id: "c2", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]`)},
			{verb: "CHECK", conf: dual, ours: gone, why: "host-local has no GC"},
			{verb: "CHECK", id: "c2", conf: dual},
		}},
		{"GC with the older key", []step{
			{verb: "ADD", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/attachments":[{"containerID":"c1","ifname":"eth0"}]`)},
			{verb: "CHECK", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}],"cni.dev/attachments":[]`)},
			{verb: "CHECK", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/attachments":[]`)},
			{verb: "CHECK", conf: dual, ours: gone, why: "host-local has no GC"},
		}},
		{"GC that doesn't say what to keep", []step{
			{verb: "ADD", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":null`)},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":null,"cni.dev/attachments":null`)},
			{verb: "CHECK", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[null]`), ours: failure(7, incomplete), why: "half a list must not release the other half"},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[{"containerID":"c9"}]`), ours: failure(7, incomplete), why: "as before"},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[{"ifname":"eth0"}]`), ours: failure(7, incomplete), why: "as before"},
			{verb: "CHECK", conf: dual},
			{verb: "GC", conf: gc(`"cni.dev/valid-attachments":[]`)},
			{verb: "CHECK", conf: dual, ours: gone, why: "an empty list keeps nothing"},
		}},
		{"STATUS of a full range when asked", []step{
			{verb: "ADD", id: "a", conf: small},
			{verb: "STATUS", conf: strings.Replace(small, `"ipam":{`, `"ipam":{"statusOnExhaustion":true,`, 1)},
			{verb: "ADD", id: "b", conf: small},
			{verb: "STATUS", conf: strings.Replace(small, `"ipam":{`, `"ipam":{"statusOnExhaustion":"true",`, 1)},
			{verb: "STATUS", conf: strings.Replace(small, `"ipam":{`, `"ipam":{"statusOnExhaustion":true,`, 1),
				ours: failure(50, "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.3"), why: "statusOnExhaustion"},
			{verb: "STATUS", conf: net("1.1.0", `{"dataDir":"@DIR@","statusOnExhaustion":true}`)},
			{verb: "STATUS", conf: net("1.1.0", `{"dataDir":"@DIR@","statusOnExhaustion":true,"subnet":"10.1.2.1/24"}`),
				ours: failure(50, "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"), why: "the question can't be answered"},
		}},
		{"null among routes", []step{
			{verb: "ADD", conf: net("0.2.0", with(`,"routes":[{"dst":"0.0.0.0/0"},null]`)), ours: failure(7, "route 1 is null"), why: "host-local crashes"},
			{verb: "ADD", conf: net("1.1.0", with(`,"routes":[null]`)), ours: failure(7, "route 0 is null"), why: "host-local prints the null"},
		}},
		{"null among requested addresses", []step{
			{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"args":{"cni":{"ips":[null]}},"name"`, 1), ours: failure(7, "cannot understand ip: IP <nil> not v4 nor v6"), why: "host-local crashes"},
			{verb: "ADD", conf: strings.Replace(plain, `"name"`, `"runtimeConfig":{"ips":["10.1.2.5",null]},"name"`, 1), ours: failure(7, "cannot understand ip: IP <nil> not v4 nor v6"), why: "host-local crashes"},
		}},
		{"keys that host-local doesn't know", []step{
			{verb: "ADD", conf: net("1.0.0", with(`,"lockTimeout":"soon"`)), ours: failure(7, `lockTimeout "soon": want a duration like "30s" or a number of seconds, above 0`), why: "our key"},
			{verb: "ADD", id: "c2", conf: net("1.0.0", with(`,"lockTimeout":0`)), ours: failure(7, `lockTimeout 0: want a duration like "30s" or a number of seconds, above 0`), why: "our key"},
			{verb: "ADD", id: "c2", conf: net("1.0.0", with(`,"retention":{"keepBytes":"10GiX"}`)), ours: failure(7, `retention: keepBytes "10GiX": want a size such as "10GiB" or "500MB", above 0`), why: "our key"},
			{verb: "ADD", id: "c3", conf: net("1.0.0", with(`,"allowNetworkFS":"yes"`)), ours: failure(7, `json: cannot unmarshal string into Go struct field IPAMConfig.ipam.allowNetworkFS of type bool`), why: "our key"},
		}},
		{"network name that no folder can have", []step{
			{verb: "ADD", conf: plain}, // so that the folders above it exist
			{verb: "ADD", conf: strings.Replace(plain, `"n"`, `"`+strings.Repeat("n", 300)+`"`, 1), ours: failure(7, "network name is 300 bytes long; at most 255 fit a file name"), why: "it is the configuration that is wrong"},
			{verb: "DEL", conf: strings.Replace(plain, `"n"`, `"`+strings.Repeat("n", 300)+`"`, 1), ours: success(), why: "there is nothing to release"},
			{verb: "GC", conf: strings.Replace(gc(`"cni.dev/valid-attachments":[]`), `"n"`, `"`+strings.Repeat("n", 300)+`"`, 1)},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.steps) })
	}
}
