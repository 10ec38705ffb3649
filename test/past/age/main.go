// Age appends events to a store that change nothing, DELs of a container that nobody knows, until it has so many. It is
// built with the clock for tests.
//
//	age STORE EVENTS
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/leaselog/leaselog/journal"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "age:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("want a store and a number of events, not %d arguments", len(os.Args)-1)
	}
	events, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	j, err := journal.Open(os.Args[1], time.Now().Add(time.Minute))
	if err != nil {
		return err
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		return err
	}
	for int(j.Last()) < events {
		var batch []*journal.Event
		for range min(100, events-int(j.Last())) {
			batch = append(batch, &journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: "nobody", IfName: "e"})
		}
		if err := j.Append(batch...); err != nil {
			return err
		}
	}
	return nil
}
