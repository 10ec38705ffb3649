/*
Mutants breaks the product on purpose, one line at a time, and runs the tests that should notice.

	go run ./test/mutants [-only NAME] [-skip NAME] [-list]

The tree is never edited: each mutant is an overlay that the go command lays over it, for the tests and
for what they build themselves. Each listed test must pass without a mutant and fail with it. A mutant
that a listed test lets live, that doesn't compile, or whose text is not in the file exactly once, is an error.
table.go has the mutants.
*/
package main
