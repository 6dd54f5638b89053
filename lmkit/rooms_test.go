package lmkit_test

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
)

// The picture of the rooms in the documentation is that of the list; go test ./lmkit -run Rooms -update draws it anew.
func TestRoomsPicture(t *testing.T) {
	canvastest.Golden(t, "../../docs/pictures/rooms.svg",
		func(w io.Writer) error { return canvas.WriteSVG(w, floorPlan{}) })
}

// shown is the box of a package in the picture: methods have one together, and so have the applications of trial.
// Helpers of tests, and what only shows or measures, have none.
func shown(name string) (box string, ok bool) {
	folder, _, _ := strings.Cut(name, "/")
	switch {
	case strings.HasSuffix(name, "test") || slices.Contains([]string{"bench", "docker", "examples", "notebooks"}, folder):
		return "", false
	case strings.HasPrefix(name, "explain/"):
		return "explain/…", true
	case folder == "trial":
		return "trial/…", true
	}
	return name, true
}

// arrows returns which boxes each box imports, without those that follow from others: where a imports b and b imports
// c, the arrow from a to c is left out.
func arrows() map[string][]string {
	all := map[string]map[string]bool{}
	for name, list := range rooms {
		from, ok := shown(name)
		if !ok {
			continue
		}
		if all[from] == nil {
			all[from] = map[string]bool{}
		}
		for _, other := range strings.Fields(list) {
			if to, ok := shown(other); ok && to != from {
				all[from][to] = true
			}
		}
	}
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		for next := range all[from] {
			if next == to || reaches(next, to) {
				return true
			}
		}
		return false
	}
	needed := map[string][]string{}
	for from, tos := range all {
		needed[from] = nil
		for _, to := range slices.Sorted(maps.Keys(tos)) {
			follows := false
			for other := range tos {
				follows = follows || other != to && reaches(other, to)
			}
			if !follows {
				needed[from] = append(needed[from], to)
			}
		}
	}
	return needed
}

// spot is a place on a floor: a box, or where an arrow passes between boxes on its way down.
type spot struct {
	name     string // "": an arrow passes
	x, width float64
	down     []*spot // on the floor below
	up       []*spot
}

const (
	boxHeight, floorHeight = 26.0, 62.0
	letter                 = 10.5 // pixels
)

// floors puts the boxes on floors, the ground first: a box stands right above the highest one that it imports.
func floors() [][]*spot {
	arrows := arrows()
	var plan [][]*spot
	spots, heights := map[string]*spot{}, map[string]int{}
	at := func(height int, s *spot) *spot {
		for len(plan) <= height {
			plan = append(plan, nil)
		}
		plan[height] = append(plan[height], s)
		return s
	}
	var place func(name string) int
	place = func(name string) int {
		if height, done := heights[name]; done {
			return height
		}
		height := 0
		for _, to := range arrows[name] {
			height = max(height, place(to)+1)
		}
		heights[name] = height
		spots[name] = at(height, &spot{name: name, width: canvas.MonoWidth(short(name), letter) + 14})
		return height
	}
	names := slices.Sorted(maps.Keys(arrows))
	for _, name := range names {
		place(name)
	}
	for _, name := range names {
		for _, to := range arrows[name] {
			from := spots[name]
			for height := heights[name] - 1; height > heights[to]; height-- {
				step := at(height, &spot{width: 4})
				link(from, step)
				from = step
			}
			link(from, spots[to])
		}
	}
	arrange(plan)
	return plan
}

func link(from, to *spot) { from.down, to.up = append(from.down, to), append(to.up, from) }

// short is the name in a box. What is internal shows by its colour.
func short(name string) string { return strings.TrimPrefix(name, "internal/") }

// arrange gives all spots their places: each as near as it can to what it is joined with, without touching its
// neighbours.
func arrange(plan [][]*spot) {
	for _, floor := range plan {
		for i, s := range floor {
			s.x = canvas.PictureWidth * (float64(i) + 0.5) / float64(len(floor))
		}
	}
	for round := range 60 {
		for i := range plan {
			floor := plan[i]
			if round%2 == 1 { // from the roof down
				floor = plan[len(plan)-1-i]
			}
			for _, s := range floor {
				joined := slices.Concat(s.up, s.down)
				if round < 40 { // at first one side at a time, which sorts
					joined = s.down
					if round%2 == 1 {
						joined = s.up
					}
				}
				sum := 0.0
				for _, other := range joined {
					sum += other.x
				}
				if len(joined) > 0 {
					s.x = sum / float64(len(joined))
				}
			}
			slices.SortStableFunc(floor, func(a, b *spot) int { return cmp.Compare(a.x, b.x) })
			separate(floor)
		}
	}
	left, right := canvas.PictureWidth, 0.0
	for _, floor := range plan {
		for _, s := range floor {
			left, right = min(left, s.x-s.width/2), max(right, s.x+s.width/2)
		}
	}
	for _, floor := range plan {
		for _, s := range floor {
			s.x += (canvas.PictureWidth - left - right) / 2 // the whole plan in the middle of the paper
		}
	}
}

// separate moves the spots of a floor, which are sorted, apart and onto the paper: as far to the left as to the right.
func separate(floor []*spot) {
	const gap = 8.0
	left, right := make([]float64, len(floor)), make([]float64, len(floor))
	for i, s := range floor {
		left[i] = s.x
		if i > 0 {
			left[i] = max(s.x, left[i-1]+(floor[i-1].width+s.width)/2+gap)
		}
	}
	for i, s := range slices.Backward(floor) {
		right[i] = s.x
		if i < len(floor)-1 {
			right[i] = min(s.x, right[i+1]-(floor[i+1].width+s.width)/2-gap)
		}
	}
	edge := canvas.Margin
	for i, s := range floor {
		s.x = max((left[i]+right[i])/2, edge+s.width/2)
		edge = s.x + s.width/2 + gap
	}
	edge = canvas.PictureWidth - canvas.Margin
	for _, s := range slices.Backward(floor) {
		s.x = min(s.x, edge-s.width/2)
		edge = s.x - s.width/2 - gap
	}
}

// floorPlan draws the boxes, the ground at the bottom, and from each an arrow down to what it imports.
type floorPlan struct{}

// Draw gathers the shapes of the plan.
func (floorPlan) Draw() (*canvas.Canvas, error) {
	c := canvas.New(canvas.PictureWidth)
	plan := floors()
	top := func(floor int) float64 { return canvas.Margin + floorHeight*float64(len(plan)-1-floor) }
	for i, floor := range plan {
		for _, s := range floor {
			for _, to := range s.down {
				drawArrow(c, s.x, top(i)+boxHeight, to.x, top(i-1), to.name != "")
			}
			if s.name == "" { // past the boxes of its floor
				c.Line(s.x, top(i), s.x, top(i)+boxHeight, arrowColor)
			}
		}
	}
	for i, floor := range plan {
		for _, s := range floor {
			if s.name == "" {
				continue
			}
			fill := "#deebf7"
			if strings.HasPrefix(s.name, "internal/") {
				fill = "#f0f1f3"
			}
			style := canvas.Style{Fill: fill, Stroke: "#b9bec7", Radius: 4}
			c.Rect(s.x-s.width/2, top(i), s.width, boxHeight, style, s.name+": "+rooms[s.name])
			c.Text(s.x, top(i)+17, canvas.Label{Size: letter, Mono: true, Anchor: "middle"}, short(s.name))
		}
	}
	c.Y = top(0) + boxHeight + 10
	grey := canvas.Label{Size: 11, Fill: canvas.InkSoft}
	c.Paragraph(canvas.Margin, grey, "An arrow leads to what a package imports; one that follows from others "+
		"is left out. "+
		"Grey: under lmkit/internal. explain/… are the methods, trial/… the applications.")
	return c.Done("the packages of lmkit, and what they import")
}

const arrowColor = "#8a8f98"

func drawArrow(c *canvas.Canvas, x1, y1, x2, y2 float64, head bool) {
	var way canvas.Path
	way.Move(x1, y1)
	middle := (y1 + y2) / 2
	way.Cubic(x1, middle, x2, middle, x2, y2)
	c.Path(way, canvas.Style{Stroke: arrowColor}, "")
	if head {
		var tip canvas.Path
		tip.Move(x2, y2)
		tip.Line(x2-3.5, y2-7)
		tip.Line(x2+3.5, y2-7)
		tip.Line(x2, y2)
		c.Path(tip, canvas.Style{Fill: arrowColor}, "")
	}
}
