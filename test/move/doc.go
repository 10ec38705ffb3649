// Package move tests how a node moves from host-local to leaselog and back: the real host-local and the built plugin,
// called by turns and at once, on the same folders; with containers in real namespaces, across reboots, and with calls killed on
// the way. It holds tests only.
//
// What needs root or strace is skipped where that is missing, and says so. Reboots are a file mounted over the kernel's boot
// ID, in a mount namespace that ends with the call; nothing outside of what is made here is touched.
package move
