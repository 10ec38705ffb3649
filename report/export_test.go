package report

// For tests in package report_test.
var (
	Template = template
	Floor    = floor
	Offset   = offset
	Policy   = policy
	Pack     = pack
)
