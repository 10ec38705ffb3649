// Package backup copies stores, keeps copies in one file, and restores them.
//
// Copy takes a consistent copy of a store that may be in use: it takes no lock, the copy ends with an event that was durable, and all
// of it is read back. Write keeps copies of some stores in a backup file: a tar file in zstd with a manifest in front, which
// docs/FORMAT.md describes. Restore makes stores from such a file. Each is a new journal that succeeds the copied one: what happened
// after the backup is not known, and must not look as if nothing had.
//
// Whatever stands in a backup file is checked before anything is made of it. A run that fails leaves nothing; what one leaves that was
// killed is removed by the next one in the same folder.
//
// The plugin never links this package.
package backup
