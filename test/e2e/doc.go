// Package e2e tests the plugin as it is used: the reference cnitool calls the
// reference bridge and ptp plugins, these call leaselog, and packets pass between
// real network namespaces. It holds tests only.
//
// The tests need root, because they make namespaces, and the ip and ping commands.
// Without these they are skipped and say why; with LEASELOG_E2E_REQUIRE=1 in the
// environment they fail instead. LEASELOG_E2E_IPAM names another IPAM plugin to
// run with, host-local: what only leaselog does is then skipped.
//
// Nothing outside of the namespaces made here is touched. Even what stands for the
// host, with its bridges, forwarding settings and caches, is a namespace of its own.
package e2e
