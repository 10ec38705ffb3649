// Package repo tests what is in the repository beside the code. It holds tests only.
package repo
