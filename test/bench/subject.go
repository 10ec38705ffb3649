package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// subject is one of the programs that are compared.
type subject string

const (
	leaselog  subject = "leaselog"
	hostLocal subject = "host-local"
	floor     subject = "floor"
	silent    subject = "floor, silent" // where the floor prints a result and the verb has none
	bare      subject = "floor, bare"   // without the CNI library
)

// verbs are what is timed in each round, in this order: what ADD takes DEL gives back.
var verbs = []string{"ADD", "CHECK", "STATUS", "DEL"}

// subjectsOf returns which subjects a verb is timed with. A DEL prints nothing, so its floor is silent anyway.
func subjectsOf(verb string) []subject {
	switch verb {
	case "ADD":
		return []subject{leaselog, hostLocal, floor, bare}
	case "DEL":
		return []subject{leaselog, hostLocal, floor}
	default:
		return []subject{leaselog, hostLocal, floor, silent}
	}
}

// tools are the paths of what is run.
type tools struct{ leaselog, hostLocal, floor, rss, leasegen, strace string }

// attachment is who a call is about.
type attachment struct {
	id  string
	ips []netip.Addr // what it holds, if it does
}

// call is a call of one subject in a world.
func (w *world) call(s subject, verb string, a attachment) *command {
	c := &command{path: w.tools.floor, input: w.input(s, a), env: w.environment(verb, a)}
	switch s {
	case leaselog:
		c.path = w.tools.leaselog
	case hostLocal:
		c.path = w.tools.hostLocal
	case bare:
		c.env = append(c.env, "FLOOR=bare", "FLOOR_DIR="+w.floorDir)
	default:
		mode := "write"
		if verb == "CHECK" || verb == "STATUS" {
			mode = map[subject]string{floor: "idle", silent: "silent"}[s]
		}
		c.env = append(c.env, "FLOOR="+mode, "FLOOR_DIR="+w.floorDir)
	}
	return c
}

// environment is what a Kubernetes runtime sets.
func (w *world) environment(verb string, a attachment) []string {
	id := a.id
	if id == "" {
		id = strings.Repeat("0", 64)
	}
	return []string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + a.id, "CNI_NETNS=" + w.netns, "CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-" + id[:8] +
			";K8S_POD_INFRA_CONTAINER_ID=" + a.id + ";K8S_POD_UID=" + id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-8" + id[17:20] + "-" + id[20:32],
	}
}

type rangeConf struct {
	Subnet string `json:"subnet"`
}

// input is the configuration, with the result of the ADD where libcni would send it.
func (w *world) input(s subject, a attachment) []byte {
	dataDir := w.dataDir
	if s == hostLocal {
		dataDir = w.hostLocalDir
	}
	ranges := [][]rangeConf{{{w.scene.subnet()}}}
	if w.scene.dual {
		ranges = append(ranges, []rangeConf{{subnet6}})
	}
	conf := map[string]any{"cniVersion": "1.1.0", "name": network, "type": "bridge", "bridge": "cni0", "isGateway": true,
		"ipam": map[string]any{"type": string(s), "dataDir": dataDir, "ranges": ranges, "routes": []map[string]string{{"dst": "0.0.0.0/0"}}}}
	if len(a.ips) > 0 {
		var ips []map[string]string
		for _, ip := range a.ips {
			ips = append(ips, map[string]string{"address": netip.PrefixFrom(ip, w.scene.bits(ip)).String()})
		}
		conf["prevResult"] = map[string]any{"cniVersion": "1.1.0", "ips": ips}
	}
	b, err := json.Marshal(conf)
	if err != nil {
		panic("bench: " + err.Error()) // maps of strings
	}
	return b
}

// check says what is wrong with the answer of a call, and returns the addresses that an ADD got.
func (w *world) check(s subject, verb string, a answer) ([]netip.Addr, error) {
	if a.exit != 0 || len(a.stderr) > 0 {
		return nil, fmt.Errorf("%s %s: exit %d, stdout %.300s, stderr %.300s", s, verb, a.exit, a.stdout, a.stderr)
	}
	prints := verb == "ADD" || s == floor && verb != "DEL"
	if !prints {
		if len(a.stdout) > 0 {
			return nil, fmt.Errorf("%s %s prints %.300s", s, verb, a.stdout)
		}
		return nil, nil
	}
	var result struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal(a.stdout, &result); err != nil {
		return nil, fmt.Errorf("%s %s prints %.300s: %w", s, verb, a.stdout, err)
	}
	if s == floor || s == bare {
		if len(result.IPs) != 1 {
			return nil, fmt.Errorf("%s %s prints %.300s", s, verb, a.stdout)
		}
		return nil, nil
	}
	var ips []netip.Addr
	for _, ip := range result.IPs {
		ips = append(ips, ip.Address.Addr())
	}
	return ips, w.checkAddresses(s, ips)
}

// checkAddresses wants one address of each range, none of them held by anybody.
func (w *world) checkAddresses(s subject, ips []netip.Addr) error {
	want := []string{w.scene.subnet()}
	if w.scene.dual {
		want = append(want, subnet6)
	}
	if len(ips) != len(want) {
		return fmt.Errorf("%s ADD: got %v, want one address of each of %v", s, ips, want)
	}
	for i, ip := range ips {
		if !netip.MustParsePrefix(want[i]).Contains(ip) {
			return fmt.Errorf("%s ADD: got %s, want one of %s", s, ip, want[i])
		}
		if w.held[ip] {
			return fmt.Errorf("%s ADD: got %s, which is held", s, ip)
		}
	}
	if slices.Contains(ips, netip.Addr{}) {
		return errors.New("a result without an address")
	}
	return nil
}
