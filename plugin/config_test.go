package plugin

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// failureOf returns what the CNI library would print of err.
func failureOf(t *testing.T, err error) types.Error {
	t.Helper()
	var e *types.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error with a code", err)
	}
	return *e
}

func TestLoad(t *testing.T) {
	stdin := `{"name":"n","cniVersion":"1.1.0",
		"args":{"cni":{"ips":["10.2.0.7/8","10.1.2.50"]}},
		"runtimeConfig":{"ipRanges":[[{"subnet":"10.2.0.0/16"}]],"ips":["2001:db8::9","::ffff:10.1.2.50"]},
		"ipam":{"type":"any","dataDir":"/d/../data","historyDir":"/h","resolvConf":"/r","lockTimeout":1.5,"allowNetworkFS":true,
			"importFrom":"/old/../hl/n","reclaimOnBoot":"off","retention":{"keep":"180d","keepEvents":1000000,"keepBytes":"10GiB"},
			"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.60","gateway":"::ffff:10.1.2.3",
			"ranges":[[{"subnet":"2001:db8::/64"}]],"routes":[{"dst":"0.0.0.0/0"}]}}`
	got, err := load([]byte(stdin), "IP=10.1.2.50/24")
	if err != nil {
		t.Fatal(err)
	}
	wantLocation := location{network: "n", dataDir: "/data", historyDir: "/h", lockTimeout: 1500 * time.Millisecond, allowNetworkFS: true,
		importFrom: "/hl/n", reclaimOnBoot: "off"}
	if got.location != wantLocation {
		t.Errorf("location: got %+v, want %+v", got.location, wantLocation)
	}
	var sets []string
	for _, s := range got.sets {
		sets = append(sets, s.String())
	}
	wantSets := []string{"10.2.0.1-10.2.255.254", "10.1.2.9-10.1.2.60", "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff"}
	if !reflect.DeepEqual(sets, wantSets) || got.callSets != 1 {
		t.Errorf("sets: got %v, %d of the call; want %v, 1", sets, got.callSets, wantSets)
	}
	if gw := got.sets[1][0].Gateway; gw != netip.MustParseAddr("10.1.2.3") {
		t.Errorf("gateway: got %s, want 10.1.2.3", gw)
	}
	wantIPs := []netip.Addr{netip.MustParseAddr("10.1.2.50"), netip.MustParseAddr("10.2.0.7"), netip.MustParseAddr("2001:db8::9")}
	if !reflect.DeepEqual(got.requests, wantIPs) {
		t.Errorf("requests: got %v, want %v", got.requests, wantIPs)
	}
	if got.cniVersion != "1.1.0" || got.resolvConf != "/r" || !got.allowNetworkFS || len(got.routes) != 1 {
		t.Errorf("got version %q, resolvConf %q, allowNetworkFS %v, %d routes", got.cniVersion, got.resolvConf, got.allowNetworkFS, len(got.routes))
	}
}

func TestLoadDefaults(t *testing.T) {
	got, err := load([]byte(`{"name":"n","ipam":{"subnet":"10.1.2.0/24","dataDir":"","historyDir":null,"lockTimeout":null,"retention":null}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := (location{network: "n", dataDir: "/var/lib/cni/networks"}); got.location != want {
		t.Errorf("got %+v, want %+v", got.location, want)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got, err = load([]byte(`{"name":"n","ipam":{"subnet":"10.1.2.0/24","dataDir":"a","historyDir":"b"}}`), "")
	if want := (location{network: "n", dataDir: filepath.Join(dir, "a"), historyDir: filepath.Join(dir, "b")}); err != nil || got.location != want {
		t.Errorf("relative folders: got %+v, %v, want %+v", got.location, err, want)
	}
}

func TestLoadErrors(t *testing.T) {
	ipam := func(s string) string { return `{"name":"n","cniVersion":"1.0.0","ipam":` + s + `}` }
	for _, test := range []struct {
		name, stdin, args string
		code              uint
		msg               string
	}{
		{"name of a type", ipam(`"x"`), "", 7, "json: cannot unmarshal string into Go struct field Net.ipam of type allocator.IPAMConfig"},
		{"names of nested types", ipam(`{"ranges":[5]}`), "", 7, "json: cannot unmarshal number into Go struct field IPAMConfig.ipam.ranges of type allocator.RangeSet"},
		{"user's text is left alone", ipam(`{"subnet":"plugin.netConf"}`), "", 7, "invalid CIDR address: plugin.netConf"},
		{"no ipam", `{"name":"n"}`, "a", 7, "IPAM config missing 'ipam' key"},
		{"arguments", ipam(`{}`), "a", 4, `ARGS: invalid pair "a"`},
		{"no ranges", ipam(`{}`), "", 7, "no IP ranges specified"},
		{"null address", `{"name":"n","ipam":{},"args":{"cni":{"ips":[null]}}}`, "", 7, "cannot understand ip: IP <nil> not v4 nor v6"},
		{"empty set", ipam(`{"ranges":[[]]}`), "", 7, "invalid range set 0: empty range set"},
		{"many ranges", ipam(`{"ranges":[` + strings.Repeat(`[],`, 4096) + `[]]}`), "", 7, "4097 ranges are more than 4096"},
		{"families", `{"name":"n","ipam":{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/24"}]]}}`, "", 7, "CNI version  does not support more than 1 address per family"},
		{"overlap", ipam(`{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/24"}]]}`), "", 7, "range set 0 overlaps with 1"},
		{"null route", ipam(`{"subnet":"10.1.2.0/24","routes":[{},null]}`), "", 7, "route 1 is null"},
		{"retention", ipam(`{"subnet":"10.1.2.0/24","retention":{"keep":"180"}}`), "", 7,
			`retention: keep "180": want a time such as "180d", "26w" or "72h", above 0 and below 292 years`},
		{"retention of another key", ipam(`{"subnet":"10.1.2.0/24","retention":{"keepDays":180}}`), "", 7,
			`retention: {"keepDays":180}: want an object such as {"keep": "180d", "keepEvents": 1000000, "keepBytes": "10GiB"}, with no other keys`},
		{"retention is no object", ipam(`{"subnet":"10.1.2.0/24","retention":"180d"}`), "", 7,
			`retention: "180d": want an object such as {"keep": "180d", "keepEvents": 1000000, "keepBytes": "10GiB"}, with no other keys`},
		{"long name", strings.Replace(ipam(`{"subnet":"10.1.2.0/24"}`), `"n"`, `"`+strings.Repeat("n", 256)+`"`, 1), "", 7, "network name is 256 bytes long; at most 255 fit a file name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load([]byte(test.stdin), test.args)
			if got, want := failureOf(t, err), (types.Error{Code: test.code, Msg: test.msg}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestLockTimeout(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		want      time.Duration // 0: refused
	}{
		{"duration", `"1m30s"`, 90 * time.Second},
		{"seconds", `5`, 5 * time.Second},
		{"part of a second", `2.5e-1`, 250 * time.Millisecond},
		{"longest", `9223372036`, 9223372036 * time.Second},
		{"zero", `0`, 0},
		{"zero duration", `"0s"`, 0},
		{"negative", `-1`, 0},
		{"negative duration", `"-1s"`, 0},
		{"less than a nanosecond", `1e-10`, 0},
		{"too long", `9223372037`, 0},
		{"far too long", `1e300`, 0},
		{"no number", `1e999`, 0},
		{"number in text", `"30"`, 0},
		{"empty", `""`, 0},
		{"words", `"soon"`, 0},
		{"bool", `true`, 0},
		{"list", `[1]`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseLockTimeout([]byte(test.raw))
			if got != test.want || (err == nil) != (test.want > 0) {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
			if err != nil && failureOf(t, err).Code != 7 {
				t.Errorf("got %v, want code 7", err)
			}
		})
	}
	if got, err := parseLockTimeout([]byte("null")); got != 0 || err != nil {
		t.Errorf("null: got %s, %v, want the default", got, err)
	}
}

func TestSketch(t *testing.T) {
	at := func(data, history string, timeout time.Duration) location {
		return location{network: "n", dataDir: data, historyDir: history, lockTimeout: timeout}
	}
	const def = "/var/lib/cni/networks"
	for _, test := range []struct {
		name, ipam string
		want       location
		readable   bool
		exhaustion bool
	}{
		{"everything", `{"dataDir":"/d","historyDir":"/h","lockTimeout":"2s","statusOnExhaustion":true}`, at("/d", "/h", 2*time.Second), true, true},
		{"large letters", `{"DATADIR":"/d","HistoryDir":"/h","LOCKTIMEOUT":3}`, at("/d", "/h", 3*time.Second), true, false},
		{"nothing", `{}`, at(def, "", 0), true, false},
		{"the rest is broken", `{"subnet":5,"ranges":{},"routes":[null],"dataDir":"/d","resolvConf":[]}`, at("/d", "", 0), true, false},
		{"bad lockTimeout", `{"dataDir":"/d","lockTimeout":"soon","statusOnExhaustion":"true"}`, at("/d", "", 0), true, false},
		{"bad keys of ours", `{"dataDir":"/d","importFrom":{},"hostLocalView":"yes","reclaimOnBoot":true,"allowNetworkFS":"yes"}`,
			location{network: "n", dataDir: "/d", reclaimOnBoot: reclaimOff}, true, false},
		{"null", `null`, at(def, "", 0), false, false},
		{"text", `"x"`, at(def, "", 0), false, false},
		{"list", `[]`, at(def, "", 0), false, false},
		{"bad dataDir", `{"dataDir":5,"historyDir":"/h"}`, at(def, "", 0), false, false},
		{"bad historyDir", `{"historyDir":{},"dataDir":"/d"}`, at(def, "", 0), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := sketchOf([]byte(`{"name":"n","runtimeConfig":7,"ipam":` + test.ipam + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got.location != test.want || (got.unreadable == nil) != test.readable || got.statusOnExhaustion != test.exhaustion {
				t.Errorf("got %+v, want %+v, readable %v, statusOnExhaustion %v", got, test.want, test.readable, test.exhaustion)
			}
		})
	}
	if got, err := sketchOf([]byte(`{"name":"n"}`)); err != nil || got.unreadable == nil || got.dataDir != def {
		t.Errorf("no ipam: got %+v, %v", got, err)
	}
}

// FuzzConfig feeds every reader of standard input: none may panic, and where ADD finds a
// store, DEL has to find the same one.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{"name":"n","cniVersion":"1.1.0","ipam":{"dataDir":"/d","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}]]}}`,
		`{"name":"n","ipam":{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.5","routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1"}]}}`,
		`{"name":"n","ipam":{"lockTimeout":3,"subnet":"::/0"},"args":{"cni":{"ips":["::1",null,""]}},"runtimeConfig":{"ips":["10.0.0.1/8"],"ipRanges":[[{}]]}}`,
		`{"name":"n","ipam":null,"IPAM":{"dataDir":"/d"},"ipam":{"subnet":"::ffff:10.0.0.0/100"}}`,
		`{"cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"},null],"prevResult":{"ips":[{"address":"10.1.2.3/24"},null]}}`,
		`null`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stdin []byte) {
		conf, loadErr := load(stdin, "")
		s, err := sketchOf(stdin)
		if loadErr == nil {
			if len(conf.sets) == 0 {
				t.Error("a configuration without a range set passed")
			}
			if err != nil || s.unreadable != nil || s.location != conf.location {
				t.Errorf("ADD goes to %+v, DEL to %+v, %v", conf.location, s, err)
			}
		}
		// Only panics count from here on.
		_, _ = exhaustible(stdin)
		_, _, _ = validAttachments(stdin)
		_, _, _ = prevAddresses(stdin)
	})
}

func TestHistoryDirIsDataDir(t *testing.T) {
	_, err := load([]byte(`{"name":"n","ipam":{"subnet":"10.1.2.0/24","dataDir":"/d","historyDir":"/x/../d"}}`), "")
	if err == nil {
		t.Fatal("accepted")
	}
	if got := failureOf(t, err); got.Code != types.ErrInvalidNetworkConfig || !strings.Contains(got.Msg, "historyDir /d") {
		t.Errorf("got %+v, want code 7 that names the folder", got)
	}
}
