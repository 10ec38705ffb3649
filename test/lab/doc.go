// Package lab makes hosts and pods of network namespaces, and calls the reference runtime cnitool on them. It is for
// tests that need real interface plugins and packets; nothing that is released imports it.
//
// Nothing outside of the namespaces made here is touched. Even what stands for the host, with its bridges, forwarding settings and
// caches, is a namespace of its own.
package lab
