#!/bin/sh
# Usage: demo.sh BIN REFS
#
# Runs the plugin's main job on real input. BIN holds leaselog and leasectl, REFS the
# reference bridge plugin and cnitool. With root: two pods in network namespaces,
# attached by cnitool through bridge, which gets their addresses from leaselog.
# Without: leaselog alone, called by environment and standard input as bridge calls it.
#
# Exits 0 if everything came out as expected. Leaves nothing behind: the host of the
# demo is a namespace as well, so this machine's interfaces and settings are not touched.
set -eu

bin=$(cd "$1" && pwd)
refs=$(cd "$2" && pwd)
tmp=$(mktemp -d)
id=lldemo$$
host=$id-host
network=demo
container=
netns=
request=

cleanup() {
	status=$?
	trap - EXIT INT TERM
	[ "$status" -eq 0 ] || printf 'demo: failed at the step above\n' >&2
	for ns in "$id-blue" "$id-green" "$id-red" "$host"; do
		[ ! -e "/run/netns/$ns" ] || ip netns del "$ns"
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# expect TEXT COMMAND...: the command must succeed and print the text.
expect() {
	text=$1
	shift
	out=$("$@") || fail "$* failed: $out"
	printf '%s\n' "$out"
	case $out in
	*"$text"*) ;;
	*) fail "$*: no \"$text\" in what it printed" ;;
	esac
}

# attach TEXT COMMAND...: as expect, and of the result only the addresses are shown.
attach() {
	expect "$@" >"$tmp/result"
	sed -n 's/^ *"address": "\(.*\)",*$/   \1/p' "$tmp/result"
}

# refuse TEXT COMMAND...: the command must fail and print the text.
refuse() {
	text=$1
	shift
	if out=$("$@" 2>&1); then fail "$* succeeded: $out"; fi
	case $out in
	*"$text"*) say "refused, as it should be: $text" ;;
	*) fail "$*: no \"$text\" in what it printed: $out" ;;
	esac
}

# config [FURTHER KEYS]: the network's configuration, as it goes to a plugin.
config() {
	cat <<-EOF
		{ "cniVersion": "1.1.0", "name": "$network", "type": "bridge", "bridge": "demo0", "isGateway": true,
		  "ipam": { "type": "leaselog", "dataDir": "$tmp/networks",
		            "ranges": [[{ "subnet": "10.99.0.0/29" }], [{ "subnet": "fd99::/64" }]] }${1:+, $1} }
	EOF
}

# leaselog VERB POD [FURTHER KEYS]: calls the plugin as an interface plugin does. The container
# ID and the namespace are $container and $netns.
leaselog() {
	config "${3-}" | env CNI_COMMAND="$1" CNI_CONTAINERID="$container" CNI_NETNS="$netns" CNI_IFNAME=eth0 \
		CNI_PATH="$bin:$refs" CNI_NETNS_OVERRIDE=1 CNI_ARGS="$(cni_args "$2")" "$bin/leaselog"
}

# cni_args POD: what Kubernetes runtimes tell, and the address in $request if there is one.
cni_args() { printf 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=%s%s' "$1" "${request:+;IP=$request}"; }

# cni VERB POD: calls the runtime. Its cache is below /var/lib; the mount is seen by this command alone.
cni() {
	ip netns exec "$host" env CNI_PATH="$bin:$refs" NETCONFPATH="$tmp/net.d" CNI_ARGS="$(cni_args "$2")" \
		sh -c 'mount --bind "$0" /var/lib && exec "$@"' "$tmp/lib" \
		"$refs/cnitool" "$1" "$network" "/run/netns/$id-$2"
}

# ping_from POD ADDRESS: a new port, or an IPv6 address, may need a moment.
ping_from() {
	if command -v ping >/dev/null; then
		expect ' 0% packet loss' ip netns exec "$id-$1" ping -n -q -c 1 -i 0.2 -w 10 "$2"
	else
		say "SKIP ping $2: there is no ping command here"
	fi
}

with_pods() {
	mkdir "$tmp/net.d" "$tmp/lib"
	{
		printf '{ "cniVersion": "1.1.0", "name": "%s", "plugins": [\n' "$network"
		config
		printf '] }\n'
	} >"$tmp/net.d/10-demo.conflist"

	step "namespaces for two pods, blue and green; their host is a namespace as well"
	for pod in blue green; do
		ip netns add "$id-$pod"
		ip -n "$id-$pod" link set lo up
		say "$id-$pod"
	done

	step "ADD: cnitool calls bridge, bridge makes the interfaces and asks leaselog for addresses"
	attach '"10.99.0.2/29"' cni add blue
	attach '"fd99::3/64"' cni add green

	step "ping from blue to green"
	ping_from blue 10.99.0.3
	ping_from blue fd99::3

	step "CHECK: the addresses are leased and on the interfaces; STATUS: an ADD could be served"
	cni check blue
	cni check green
	cni status blue
	say "all well"

	step "an address that is held is not given away"
	container=somebody netns=/run/netns/$id-none request=10.99.0.3
	refuse "requested IP address 10.99.0.3 is not available" leaselog ADD somebody
	request=

	step "DEL: blue goes, a new pod red asks for its address"
	cni del blue
	ip netns del "$id-blue"
	ip netns add "$id-red"
	request=10.99.0.2
	attach '"10.99.0.2/29"' cni add red
	request=
	ping_from red 10.99.0.3

	step "GC: the runtime lists red alone, so what green held is free"
	red=$(sed -n 's/.*"containerId":"\([^"]*\)".*/\1/p' "$(grep -l "$id-red" "$tmp"/lib/cni/results/*)")
	leaselog GC none "\"cni.dev/valid-attachments\": [{ \"containerID\": \"$red\", \"ifname\": \"eth0\" }]"
	cni check red
	say "red is still well"
	refuse "Failed to find address added by container" cni check green
	cni del green
}

alone() {
	step "ADD for two containers"
	container=blue netns=/run/netns/$id-blue
	attach '"10.99.0.2/29"' leaselog ADD blue
	container=green netns=/run/netns/$id-green
	attach '"fd99::3/64"' leaselog ADD green

	step "CHECK, STATUS"
	leaselog CHECK green
	leaselog STATUS green
	say "all well"

	step "an address that is held is not given away"
	container=somebody request=10.99.0.3
	refuse "requested IP address 10.99.0.3 is not available" leaselog ADD somebody

	step "DEL: blue goes, red asks for its address"
	container=blue request=
	leaselog DEL blue
	container=red request=10.99.0.2
	attach '"10.99.0.2/29"' leaselog ADD red
	request=

	step "GC: the runtime lists red alone, so what green held is free"
	leaselog GC none '"cni.dev/valid-attachments": [{ "containerID": "red", "ifname": "eth0" }]'
	leaselog CHECK red
	say "red is still well"
	container=green
	refuse "Failed to find address added by container" leaselog CHECK green
}

# Root in a container often may not make namespaces, so try.
if [ "$(id -u)" -ne 0 ]; then
	why="there is no root"
elif ! command -v ip >/dev/null; then
	why="there is no ip command"
elif ! ip netns add "$host" 2>/dev/null || ! ip netns exec "$host" true 2>/dev/null; then
	why="network namespaces can't be made here"
else
	why=
	ip -n "$host" link set lo up
fi

if [ -z "$why" ]; then
	with_pods
else
	echo "SKIP pods, bridge and ping: $why. leaselog is called alone, as bridge would call it."
	alone
fi

step "leasectl leases: what is held now"
expect 10.99.0.2 "$bin/leasectl" leases --data-dir "$tmp/networks"
case $out in *10.99.0.3*) fail "10.99.0.3 is still in the table" ;; esac
step "leasectl history --ip 10.99.0.2: who had this address, and when"
expect blue "$bin/leasectl" history --ip 10.99.0.2 --data-dir "$tmp/networks"
case $out in *red*) ;; *) fail "red is not in the history" ;; esac

printf '\ndemo: everything came out as expected\n'
