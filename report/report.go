package report

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/leaselog/leaselog/replay"
)

// Schema names what the page's data is.
const Schema = "leaselog.page/1"

// magic is what the page's data begins with.
const magic = "LLR1"

// Asked is what the page was made for.
type Asked struct {
	DataDir string `json:"data_dir"`
	Network string `json:"network"` // "" for all
	Since   string `json:"since"`   // RFC 3339, "" if it was not given
	Until   string `json:"until"`
}

// Report is a page in the making.
type Report struct {
	made    time.Time
	header  pageHeader
	columns [][]byte
	size    int64
}

type pageHeader struct {
	Schema  string    `json:"schema"`
	Version string    `json:"version"`
	Made    string    `json:"made"`
	Asked   Asked     `json:"asked"`
	Views   []*header `json:"views"`
}

// New begins a page, made at a time by a version of leasectl.
func New(asked Asked, version string, made time.Time) *Report {
	return &Report{made: made, header: pageHeader{Schema, version, made.UTC().Format(timeLayout), asked, []*header{}}}
}

// Summary is what a page shows of a view.
type Summary struct {
	From, To                  time.Time
	Events, Leases, Addresses int
	Certainty                 replay.Certainty // as of an answer about all leases in that time
	Doubts                    []string         // all, those of View included
}

// Add takes in a view. Nothing of it is needed after that; its histories and events are not of use any more.
func (r *Report) Add(v *View) (Summary, error) {
	e, err := encode(v, r.made)
	if err != nil {
		return Summary{}, err
	}
	e.Columns = map[string][2]int64{}
	for _, c := range e.columns {
		e.Columns[c.name] = [2]int64{r.size, int64(len(c.data))}
		r.size += int64(len(c.data))
		r.columns = append(r.columns, c.data)
	}
	h := e.header
	r.header.Views = append(r.header.Views, &h)
	return Summary{time.Unix(0, e.from).UTC(), time.Unix(0, e.to).UTC(), max(e.Events.Last-e.Events.First+1, 0), e.Leases, e.Addresses, e.worst, e.header.Doubts}, nil
}

// Data writes the page's data, as docs/FORMAT.md describes it, before it is packed.
func (r *Report) Data(w io.Writer) error {
	parts, err := r.parts()
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write the page's data: %w", err)
		}
	}
	return nil
}

// parts are the page's data.
func (r *Report) parts() ([][]byte, error) {
	head, err := marshal(&r.header)
	if err != nil {
		return nil, err
	}
	begin := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(head)))
	return append([][]byte{begin, head}, r.columns...), nil
}
