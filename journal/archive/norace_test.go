//go:build !race

package archive_test

const everyNth = 1
