// Package process tests the built plugin as a node runs it: many processes on one store,
// started, killed and starved of disk from outside, each of their system calls made to fail, and
// the store's folder deleted under them. It holds tests only.
//
// What needs root (mounts that are full, small or read-only), strace, mkfs or a loop device is
// skipped where that is missing, and says so. Mounts are made in a mount namespace of the test's
// own, so that not even a killed run leaves one behind.
//
// Faults are injected by strace, which counts system calls by thread; what it hit is read back from its
// log. So that it hits what it aims at, it runs the plugin with its main goroutine bound to
// one thread, which is the only difference to the plugin as it is released.
package process
