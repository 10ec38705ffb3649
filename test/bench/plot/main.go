// Plot draws the charts of make bench as SVG. It reads them as JSON on standard input and writes
// FOLDER/NAME.svg for each. It is a module of its own, so that what draws is none of the product's dependencies.
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is as the benchmark writes it, charts.go there.
type chart struct {
	Name, Title string
	X, Y        string
	LogX, LogY  bool
	XTicks      []plot.Tick
	Series      []line
}

type line struct {
	Name   string
	Points points
}

type points []struct{ X, Y, Low, High float64 }

func (p points) Len() int                         { return len(p) }
func (p points) XY(i int) (x, y float64)          { return p[i].X, p[i].Y }
func (p points) YError(i int) (low, high float64) { return p[i].Y - p[i].Low, p[i].High - p[i].Y }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: plot FOLDER <CHARTS")
	}
	var charts []chart
	if err := json.NewDecoder(os.Stdin).Decode(&charts); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	for _, c := range charts {
		if err := c.draw(filepath.Join(os.Args[1], c.Name+".svg")); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

// colours can be told apart by those who see no red or green, too.
var colours = []color.Color{color.RGBA{0, 114, 178, 255}, color.RGBA{213, 94, 0, 255}, color.RGBA{0, 158, 115, 255}, color.RGBA{204, 121, 167, 255}}

func (c chart) draw(path string) error {
	p := plot.New()
	p.BackgroundColor = color.White // also where the page is dark
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	if c.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if len(c.XTicks) > 0 {
		p.X.Tick.Marker = plot.ConstantTicks(c.XTicks)
	}
	if c.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	for i, s := range c.Series {
		l, dots, err := plotter.NewLinePoints(s.Points)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		spread, err := plotter.NewYErrorBars(s.Points)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		colour := colours[i%len(colours)]
		l.Color, dots.Color, spread.Color = colour, colour, colour
		l.Width, dots.Shape = vg.Points(1.5), draw.CircleGlyph{}
		p.Add(l, dots, spread)
		p.Legend.Add(s.Name, l, dots)
	}
	if !c.LogY {
		p.Y.Min = 0
		p.Y.Max *= 1.15 // room for the legend
	}
	return p.Save(18*vg.Centimeter, 11*vg.Centimeter, path)
}
