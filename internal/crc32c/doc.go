// Package crc32c computes CRC-32C (Castagnoli) without the start that hash/crc32 needs for it.
//
// On amd64 the standard library prepares its tables for the SSE 4.2 instruction when the first table is made, 0.17 ms
// of a process that lives for three. Here the first megabyte goes through a table of 8 KiB that takes a few
// microseconds, and hash/crc32 takes over for those who have more: a snapshot being written, a history being read.
package crc32c
