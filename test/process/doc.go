// Package process tests the built plugin as a node runs it: many processes on one store,
// started, killed and starved of disk from outside, and the store's folder deleted under
// them. It holds tests only.
//
// What needs root (mounts that are full, small or read-only), strace, mkfs.ext4 or a loop
// device is skipped where that is missing, and says so. Mounts are made in a mount
// namespace of the test's own, so that not even a killed run leaves one behind.
package process
