//go:build !race

package replay_test

const everyNth = 1
