package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// callersCalls is how many ADDs are shared by the callers.
const callersCalls = 200

var callerCounts = []int{1, 8, 32}

// callersWhat names the row of so many callers.
func callersWhat(n int) string { return fmt.Sprintf("%d ADDs by %d callers", callersCalls, n) }

// callers times callersCalls ADDs by several callers at once, from the first fork until the last answer.
func (b *bench) callers(ctx context.Context, w *world) error {
	rounds := b.options.batches
	for round := -1; round < rounds; round++ {
		for _, n := range callerCounts {
			subjects := []subject{leaselog, hostLocal, floor}
			for i := range subjects {
				if err := ctx.Err(); err != nil {
					return err
				}
				s := subjects[(i+round+1)%len(subjects)]
				took, err := w.batch(s, n)
				if err != nil {
					return fmt.Errorf("%s, %d callers: %w", s, n, err)
				}
				if round >= 0 {
					b.add(sample{row{w.place.name, w.scene, callersWhat(n), s}, round, milliseconds(took)})
				}
			}
		}
	}
	return nil
}

// batch makes the calls and takes them back, untimed.
func (w *world) batch(s subject, callers int) (time.Duration, error) {
	if s == leaselog {
		if err := w.restore(); err != nil {
			return 0, err
		}
	}
	commands := make([]*command, callersCalls)
	for i := range commands {
		commands[i] = w.call(s, "ADD", attachment{id: w.newID()})
	}
	if err := w.place.settle(); err != nil {
		return 0, err
	}
	answers, took, err := together(commands, callers)
	if err != nil {
		return 0, err
	}
	given := map[netip.Addr]bool{}
	for _, a := range answers {
		ips, err := w.check(s, "ADD", a)
		if err != nil {
			return 0, err
		}
		for _, ip := range ips {
			if given[ip] {
				return 0, fmt.Errorf("%s was given twice", ip)
			}
			given[ip] = true
		}
	}
	if s == hostLocal {
		for ip := range given {
			if err := os.Remove(filepath.Join(w.hostLocalDir, network, ip.String())); err != nil {
				return 0, err
			}
		}
	}
	return took, nil
}

// together runs commands by so many callers, each of which begins one when its last one has ended.
func together(commands []*command, callers int) ([]answer, time.Duration, error) {
	answers, errs := make([]answer, len(commands)), make([]error, len(commands))
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(commands)); i = next.Add(1) - 1 {
				answers[i], errs[i] = commands[i].run()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	for _, err := range errs {
		if err != nil {
			return nil, 0, err
		}
	}
	return answers, took, nil
}
