package report

// For tests in package report_test.
var (
	Template = template
	Floor    = floor
	Policy   = policy
	Pack     = pack
)
