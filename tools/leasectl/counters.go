package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// countersSchema names what the file of stats --state holds. Its number goes up whenever the same events would be counted
// in another way, so that what an older version counted is not gone on from.
const countersSchema = "leaselog.counters/1"

// maxCounters is the largest file of counts that is read: a thousand networks take half of it.
const maxCounters = 1 << 20

// counters are the counts of several journals, from one run to the next. A count is believed only with a journal that has
// its last event, see [replay.Count]; the sum keeps out files that were cut or changed.
type counters struct {
	before map[journal.ID]replay.Counts
	now    map[journal.ID]replay.Counts
}

// countersFile is what stands in the file: Sum is the SHA-256 of Journals as it stands there.
type countersFile struct {
	Schema   string          `json:"schema"`
	Sum      string          `json:"sum"`
	Journals json.RawMessage `json:"journals"`
}

func (c *counters) of(id journal.ID) replay.Counts           { return c.before[id] }
func (c *counters) keep(id journal.ID, counts replay.Counts) { c.now[id] = counts }

// readCounters reads a file of counts. One that is not there, or is of no use, is told and makes this run count anew.
func (a *app) readCounters(file string) *counters {
	c := &counters{now: make(map[journal.ID]replay.Counts)}
	if file == "" {
		return c
	}
	var err error
	if c.before, err = parseCounters(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.say("%s: %v: counting anew", file, err)
	}
	return c
}

func parseCounters(file string) (map[journal.ID]replay.Counts, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a pipe would wait for a writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(errors.New("not a file"), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCounters+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxCounters {
		return nil, fmt.Errorf("longer than %d bytes", maxCounters)
	}
	var content countersFile
	if err := json.Unmarshal(b, &content); err != nil {
		return nil, err
	}
	if content.Schema != countersSchema {
		return nil, fmt.Errorf("holds %q, not %q", content.Schema, countersSchema)
	}
	if sumOf(content.Journals) != content.Sum {
		return nil, errors.New("the sum is not that of the counts")
	}
	var byName map[string]replay.Counts
	dec := json.NewDecoder(bytes.NewReader(content.Journals))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&byName); err != nil {
		return nil, err
	}
	all := make(map[journal.ID]replay.Counts)
	for name, counts := range byName {
		id, err := journal.ParseID(name)
		if err != nil {
			return nil, err
		}
		all[id] = counts
	}
	return all, nil
}

// write keeps the counts of this run, and those that others counted if not all networks were looked at.
func (c *counters) write(file string, partly bool) error {
	all := make(map[string]replay.Counts)
	if partly {
		for id, counts := range c.before {
			all[id.String()] = counts
		}
	}
	for id, counts := range c.now {
		all[id.String()] = counts
	}
	journals, err := json.Marshal(all)
	if err != nil {
		return err
	}
	b, err := json.Marshal(countersFile{countersSchema, sumOf(journals), journals})
	if err != nil {
		return err
	}
	return replaceFile(file, append(b, '\n'), 0o600)
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
