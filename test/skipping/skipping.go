// Package skipping is for tests that the machine lacks something for. They are skipped and say why, unless LEASELOG_E2E_REQUIRE is set, as CI
// does where all should be there: then they fail, for a skip would hide a failure.
package skipping

import (
	"os"
	"testing"
)

const variable = "LEASELOG_E2E_REQUIRE"

// Forbidden reports whether no test may be skipped for what is missing.
func Forbidden() bool { return os.Getenv(variable) != "" }

// For ends the test for what is missing.
func For(t testing.TB, missing string) {
	t.Helper()
	if Forbidden() {
		t.Fatal(variable + " is set, but: " + missing)
	}
	t.Skip(missing)
}
