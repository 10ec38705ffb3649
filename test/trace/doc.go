// Package trace reads what strace writes of a process's system calls. It is for tests that count
// them, look at their order or make them fail; nothing that is released imports it.
package trace
