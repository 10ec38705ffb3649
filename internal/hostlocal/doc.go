// Package hostlocal reads and writes the files in which the reference plugin host-local keeps a network's leases, one
// folder a network:
//
//	lock                   empty; who reads and writes the others holds its flock
//	10.1.2.3               a lease: container ID, CR LF, interface name; before v0.8.0 the ID alone
//	last_reserved_ip.0     the cursor of range set 0: an address; before v0.6.0 without the number
//
// host-local syncs nothing, so that a power cut leaves files that are empty or full of zeros. Such a file keeps its address
// from being given for ever; here it is a lease without an owner, and nothing is ever dropped.
//
// The facts are those of host-local v1.9.1 (containernetworking/plugins, plugins/ipam/host-local/backend/disk).
package hostlocal
