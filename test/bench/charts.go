package main

// chart is what the plot program draws: see plot/main.go, which has the same shape.
type chart struct {
	Name   string // of the file
	Title  string
	X, Y   string // axes
	LogX   bool
	LogY   bool
	XTicks []tick // labels of the axis; none for those that the library picks
	Series []line
}

type tick struct {
	Value float64
	Label string
}

type line struct {
	Name   string
	Points []point
}

// point has its quartiles, or three times the same value.
type point struct{ X, Y, Low, High float64 }

// charts returns those that there are samples for.
func (b *bench) charts() []chart {
	var charts []chart
	for _, c := range []chart{b.leasesChart(), b.callersChart(), b.cycleChart()} {
		if len(c.Series) > 0 {
			charts = append(charts, c)
		}
	}
	return charts
}

// leasesChart shows ADD against leases. A logarithmic axis has no 0: none stands where 10 would.
func (b *bench) leasesChart() chart {
	c := chart{Name: "leases", Title: "ADD, single stack, on the disk", X: "leases", Y: "ms, median and quartiles", LogX: true, LogY: true}
	for _, n := range b.options.sizes {
		t := tick{float64(max(n, 10)), grouped(n)}
		if n == 0 {
			t.Label = "none"
		}
		c.XTicks = append(c.XTicks, t)
	}
	for _, who := range []subject{leaselog, hostLocal, floor} {
		l := line{Name: string(who)}
		for _, n := range b.options.sizes {
			s := summarize(b.samples.of(row{"disk", leasesScene(n, false), "ADD", who}))
			if s.n > 0 {
				l.Points = append(l.Points, point{float64(max(n, 10)), s.median, s.q1, s.q3})
			}
		}
		c.add(l)
	}
	return c
}

func (b *bench) callersChart() chart {
	c := chart{Name: "callers", Title: "200 ADDs at 250 leases, on the disk", X: "callers at once", Y: "ms, median and quartiles", LogX: true}
	for _, n := range callerCounts {
		c.XTicks = append(c.XTicks, tick{float64(n), grouped(n)})
	}
	for _, who := range []subject{leaselog, hostLocal, floor} {
		l := line{Name: string(who)}
		for _, n := range callerCounts {
			s := summarize(b.samples.of(row{"disk", leasesScene(250, false), callersWhat(n), who}))
			if s.n > 0 {
				l.Points = append(l.Points, point{float64(n), s.median, s.q1, s.q3})
			}
		}
		c.add(l)
	}
	return c
}

// cycleChart shows what the events since the newest snapshot cost, in bins.
func (b *bench) cycleChart() chart {
	const bin = 128
	c := chart{Name: "cycle", Title: "ADD between two snapshots", X: "events since the snapshot", Y: "ms, median and quartiles"}
	for _, n := range flatSizes {
		s := leasesScene(n, false)
		s.name = "cycle"
		bins := map[int][]float64{}
		last := 0
		for _, v := range b.samples {
			if v.row == (row{"disk", s, cyclePoint, leaselog}) {
				bins[v.round/bin] = append(bins[v.round/bin], v.value)
				last = max(last, v.round/bin)
			}
		}
		l := line{Name: grouped(n) + " leases"}
		for i := range last + 1 {
			if s := summarize(bins[i]); s.n > bin/4 {
				l.Points = append(l.Points, point{(float64(i) + 0.5) * bin, s.median, s.q1, s.q3})
			}
		}
		c.add(l)
	}
	return c
}

// add adds a line that has points.
func (c *chart) add(l line) {
	if len(l.Points) > 0 {
		c.Series = append(c.Series, l)
	}
}
