package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// joinMemory is how much memory may be taken before garbage is collected more often than usual.
const joinMemory = 192 << 20

// joinFormats are the values of --format.
var joinFormats = []string{"auto", "csv", "tsv", "jsonl", "zeek"}

// joinAsked is what join was asked for.
type joinAsked struct {
	columns            joinColumns
	format, unit, zone string
	out                string
	window             time.Duration
}

func (a *app) joinCommand() *cobra.Command {
	var q joinAsked
	cmd := &cobra.Command{
		Use:   "join FILE --ip COLUMN[,COLUMN...] --time COLUMN",
		Short: "A log with addresses, and who held them",
		Long: `The same rows in the same order, with who held the address at the row's time behind each row, for every
address column. FILE is CSV, JSON Lines or a conn.log of Zeek (text or JSON), may be compressed by gzip, and is
stdin if it is -. Columns are given by name, or by number from 1 on. In JSON, a.b is the member "a.b", or b of a.

Added for each COLUMN: COLUMN_state (held, free, gateway, not ours, unknown), _container, _pod, _netns, _network,
_node, _since, _until (empty while it is held), _seq, _certainty and _doubt; then leaselog_reason: why the row, or an
address of it, could not be read. Several holders are all given, with ; between. JSON Lines get one
member, leaselog, instead.

Times are numbers since 1970 or dates (RFC 3339, or "2026-11-03 14:05:09" in --tz). The unit of numbers is told
from the size of the first ones, once, and said; --time-unit says it instead.

Rows out of order by more than --window are right, and slow: the journal is read again for them.

Exit codes: 4 if some row could not be read, else the worst of the addresses: 3 unknown, 2 uncertain or several
holders, 0 found, 1 nobody held any.`,
		Example: "  leasectl join conn.log --ip id.orig_h,id.resp_h --time ts -O joined.log\n" +
			"  leasectl join flows.csv --ip src,dst --time when --tz Europe/Vienna",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("join what? give one FILE, or - for stdin")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("output") {
				return usagef("join gives the format of FILE: -o means nothing here; -O FILE is where it goes")
			}
			return a.join(args[0], &q)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&q.columns.ips, "ip", nil, "the `columns` with addresses")
	f.StringVar(&q.columns.when, "time", "", "the `column` with the time")
	f.StringVar(&q.format, "format", "auto", "of FILE: "+strings.Join(joinFormats, ", "))
	f.StringVar(&q.unit, "time-unit", "auto", "`unit` of times: "+strings.Join(timeUnits, ", "))
	f.StringVar(&q.zone, "tz", "UTC", "`zone` of times without one")
	f.StringVar(&q.columns.prefix, "prefix", "", "`text` that the names of added columns begin with")
	f.StringVarP(&q.out, "out", "O", "", "write to this new `file` instead of stdout")
	f.DurationVar(&q.window, "window", time.Hour, "how far rows may be out of order without being slow")
	return cmd
}

// check refuses what can't be meant.
func (q *joinAsked) check() error {
	switch {
	case len(q.columns.ips) == 0:
		return usagef("which columns hold addresses? give --ip COLUMN")
	case q.columns.when == "":
		return usagef("which column holds the time? give --time COLUMN")
	case !slices.Contains(joinFormats, q.format):
		return usagef("format %q: want %s", q.format, strings.Join(joinFormats, ", "))
	case !isTimeUnit(q.unit):
		return usagef("time unit %q: want %s", q.unit, strings.Join(timeUnits, ", "))
	case q.window < 0:
		return usagef("--window is negative")
	}
	for i, name := range q.columns.ips {
		if name == "" || slices.Contains(q.columns.ips[:i], name) {
			return usagef("--ip %q: each column once", strings.Join(q.columns.ips, ","))
		}
	}
	q.columns.names = make([]string, len(q.columns.ips))
	return nil
}

func (a *app) join(file string, q *joinAsked) (err error) {
	if err := q.check(); err != nil {
		return err
	}
	zone, err := parseZone(q.zone)
	if err != nil {
		return err
	}
	in, err := openJoined(file)
	if err != nil {
		return err
	}
	defer in.Close()
	t, format, err := openTable(in, q)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	unit, err := timeUnit(t, q, format)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	a.say("%s: %s; addresses in %s, times in %s: %s", file, strings.Join(t.words(), ", "),
		strings.Join(q.columns.names, ", "), q.columns.when, unitWords(unit))
	// What is kept is some 100 MB where 65,000 addresses are held; the rest is garbage, collected sooner for it.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(joinMemory))
	look, err := a.newJoinLookup(q)
	if err != nil {
		return err
	}
	defer look.close()
	out, err := a.createFile(q.out)
	if err != nil {
		return err
	}
	defer out.discard()
	defer out.discardOnSignal()()
	j := &joiner{a: a, table: t, look: look, out: out, times: rowTimes{unit: unit, zone: zone}, columns: &q.columns}
	if q.out != "" || !isTerminal(a.stdout) { // rows on the terminal tell of themselves
		j.bar = a.bar
	}
	if err := j.run(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := out.finish(); err != nil {
		return err
	}
	j.report()
	return nil
}

// openJoined opens a file, or stdin, and takes gzip away.
func openJoined(file string) (io.ReadCloser, error) {
	in := io.NopCloser(io.Reader(os.Stdin))
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		in = f
	}
	var magic [2]byte
	n, err := io.ReadFull(in, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.Join(err, in.Close())
	}
	whole := io.MultiReader(bytes.NewReader(magic[:n]), in)
	if magic != [2]byte{0x1f, 0x8b} {
		return &joinedInput{whole, in}, nil
	}
	z, err := gzip.NewReader(whole)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: gzip: %w", file, err), in.Close())
	}
	return &joinedInput{z, in}, nil
}

type joinedInput struct {
	io.Reader
	io.Closer
}

// openTable tells the format from the file's beginning, unless it was said.
func openTable(in io.Reader, q *joinAsked) (joinTable, string, error) {
	l := newLines(in)
	head, _, err := l.peek()
	if err != nil {
		return nil, "", err
	}
	format := q.format
	if format == "auto" {
		if format, err = joinFormatOf(head); err != nil {
			return nil, "", err
		}
	}
	t, err := newTable(format, l, &q.columns)
	return t, format, err
}

func newTable(format string, l *lines, columns *joinColumns) (joinTable, error) {
	switch format {
	case "jsonl":
		return newJSON(l, columns)
	case "zeek":
		return newZeek(l, columns)
	case "tsv":
		return newCSV(l, columns, '\t')
	}
	return newCSV(l, columns, 0)
}

func joinFormatOf(head []byte) (string, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "", errors.New("UTF-16: convert it to UTF-8 first")
	case bytes.HasPrefix(head, []byte("#separator")), bytes.HasPrefix(head, []byte("#fields")):
		return "zeek", nil
	}
	rest := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	switch {
	case bytes.HasPrefix(rest, []byte("{")):
		return "jsonl", nil
	case bytes.HasPrefix(rest, []byte("[")):
		return "", errors.New("a JSON array: join reads JSON Lines, an object a line (jq -c '.[]' makes them)")
	}
	return "csv", nil
}

// timeUnit says what times are, by the flag or by the file's first rows.
func timeUnit(t joinTable, q *joinAsked, format string) (string, error) {
	if q.unit != "auto" {
		return q.unit, nil
	}
	head, _, err := t.source().peek()
	if err != nil {
		return "", err
	}
	first := newLines(bytes.NewReader(head))
	columns := q.columns
	columns.names = slices.Clone(q.columns.names)
	sample, err := newTable(format, first, &columns)
	if err != nil {
		return "", err
	}
	unit, err := sampleUnit(sample)
	if unit == "" && err == nil {
		return "s", nil // no row has a time: each will say so
	}
	return unit, err
}
