// Package plugin is leaselog's CNI side: it reads what a runtime sends, has package
// allocator change or read the store, and prints the answer. It is the only importer
// of the CNI library.
//
// # Contract
//
// CNI 0.1.0 to 1.1.0: ADD, DEL and VERSION in all of them, CHECK from 0.4.0, GC and
// STATUS from 1.1.0. Configurations, the order in which they are checked, the texts of
// errors, the addresses handed out and the printed results are those of the reference
// plugin host-local, so that leaselog can stand in for it under its name. It differs
// where host-local can lose an address or hides an error:
//
//   - Errors have codes of their own instead of 999; see below.
//   - An ADD is one decision and one event: it succeeds as a whole, or leaves no lease.
//     The check that CNI_NETNS is not the plugin's own comes before, not after.
//   - DEL needs the network's name, the container ID and the interface name; of the
//     configuration it reads ipam.dataDir, ipam.historyDir and ipam.lockTimeout, and a
//     mistake anywhere else doesn't keep it from releasing.
//   - CHECK compares the addresses held with those in prevResult, GC releases what the
//     runtime doesn't list, and STATUS says whether an ADD could be recorded.
//   - A null in a list of addresses or routes is an error, not a crash.
//
// # Configuration
//
// All keys of host-local, and inside ipam:
//
//	historyDir          where the journals are; default <dataDir>/.leaselog
//	lockTimeout         how long to wait for other calls: "30s", or a number of seconds
//	statusOnExhaustion  true: STATUS fails while a range set is full
//	allowNetworkFS      true: the store may be made on a network file system
//
// # Files
//
//	<dataDir>/<network>/leaselog   losing it, or the folder, ends every lease at once
//	<historyDir>/<network>/        losing it loses the leases and their history
//
// # Environment
//
// CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH, CNI_NETNS_OVERRIDE and
// CNI_ARGS as the CNI library reads them. Of CNI_ARGS, IP requests an address, and
// K8S_POD_NAMESPACE, K8S_POD_NAME and K8S_POD_UID say whose it is. TRACEPARENT is
// recorded with the event.
//
// # Error codes
//
//	1    cniVersion is not supported, or is too old for the verb
//	4    environment: a variable is missing or malformed, CNI_ARGS included
//	5    storage: a file can't be read or written, or is damaged
//	6    standard input is not JSON
//	7    the configuration is not valid
//	8    CNI_NETNS is the plugin's own network namespace
//	11   try again later: the lock wasn't free in time, or the store was removed meanwhile
//	50   STATUS: an ADD would not succeed
//	100  no free address in a range set
//	101  the attachment already has an address from this range set
//	102  a requested address is not available
//	103  CHECK: no lease, or one that differs from prevResult
//	999  a fault in the plugin itself
package plugin
