// Package past holds answers about the past against what was seen from outside. Real processes make a history, and note when
// they called and when they were answered; whatever can be told from that, leasectl has to tell as well. Its commands
// also run beside such processes, on copies, on stores that are damaged, and with every usual mistake on the command line.
//
// The plugin is built with a clock for tests: the machine's, which the kernel calls synchronised and exact, and boots that come as
// the tests want. leasectl is as it is released.
package past
