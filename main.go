// Command leaselog is a CNI IPAM plugin that keeps every lease in a journal.
package main

import "github.com/leaselog/leaselog/plugin"

func main() {
	plugin.Main()
}
