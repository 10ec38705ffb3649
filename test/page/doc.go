// Package page tests the page that leasectl report writes in a real Chromium, as a user has it: opened from the disk, without a
// network, driven by keys and mouse. What it says of each address at an instant is held against leasectl at and who.
//
// Whatever a page does besides is a failure in every test: a message on the console, an exception, a request other than for
// the page itself, a violation of its Content-Security-Policy.
//
// Chromium has to be installed; without it the tests are skipped and say so, and with LEASELOG_E2E_REQUIRE=1 in the
// environment they fail.
package page
