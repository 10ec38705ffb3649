package main

import (
	"context"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/compaction"
	"github.com/leaselog/leaselog/journal"
)

// pack packs the archived segments of the store that was made, and removes them.
func pack(ctx context.Context, p plan) error {
	job := compaction.Job{Store: allocator.Options{Network: p.network, DataDir: p.dataDir}, Keyframes: compaction.NoKeyframes}
	if p.keyframes > 0 {
		job.Keyframes = func(int) journal.Seq { return p.keyframes }
	}
	_, err := compaction.Pack(ctx, job)
	return err
}
