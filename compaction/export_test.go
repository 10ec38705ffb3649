package compaction

import "github.com/leaselog/leaselog/journal"

// Limit makes the files of a job smaller than they are in life.
func Limit(job Job, maxEvents, mergeBelow journal.Seq) Job {
	job.limits = limits{maxEvents, mergeBelow}
	return job
}
