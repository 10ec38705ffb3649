// Command leaselog is a CNI IPAM plugin that keeps every lease in a journal.
// Neither the container CPU limits, which the runtime would look for in /proc and /sys at every start, nor their changes
// matter to a process that lives for milliseconds.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import "github.com/leaselog/leaselog/plugin"

func main() {
	plugin.Main()
}
