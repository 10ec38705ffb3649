package compaction

import "github.com/leaselog/leaselog/allocator"

// PlanWith is Plan with what was to be moved to the archive when somebody looked last.
func PlanWith(job Job, settled allocator.Settled) (*Report, error) {
	w, err := look(job)
	if err == nil {
		w.report.Settled = settled
		err = w.planRest()
	}
	return w.report, err
}
