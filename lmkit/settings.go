package lmkit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// setting is one of Settings as it was given.
type setting struct {
	name, flag  string // in JSON, and in MethodInfo.Settings
	given       bool
	least, most int   // of what was given, and what may be
	list        []int // where several numbers were
}

func (s Settings) all() []setting {
	return []setting{
		{"steps", "steps", s.Steps != 0, s.Steps, maxPoints, nil},
		{"samples", "samples", s.Samples != 0, s.Samples, maxRows, nil},
		{"budget", "budget", s.Budget != 0, s.Budget, maxRows, nil},
		{"layers", "layer", len(s.Layers) > 0, least(s.Layers), math.MaxInt, s.Layers},
		{"heads", "head", len(s.Heads) > 0, least(s.Heads), math.MaxInt, s.Heads},
		{"tap", "tap", s.Tap != "", 0, math.MaxInt, nil}, {"cut", "cut", s.Cut != 0, s.Cut, math.MaxInt, nil},
	}
}

// Validate returns all settings that are out of range, each a [Mistake].
func (s Settings) Validate() error {
	return errors.Join(s.checkFor("", "", func(string) bool { return true })...)
}

// check finds the mistakes of settings that are for some methods: numbers out of range, and what none of them heeds.
func (s Settings) check(prefix string, names []string) []error {
	return s.checkFor(prefix, strings.Join(names, ", "), func(setting string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return heeds(name, setting) })
	})
}

// checkFor finds the mistakes of settings for whom, of which heeded says what is heeded.
func (s Settings) checkFor(prefix, whom string, heeded func(setting string) bool) (errs []error) {
	for _, x := range s.all() {
		say := func(format string, args ...any) {
			errs = append(errs, &Mistake{prefix + x.name, fmt.Sprintf(format, args...)})
		}
		if x.least < 0 {
			say("is %d; it cannot be negative", x.least)
		}
		if x.least > x.most {
			say("is %d: the model would run for as many rows or more, and the limit is %d", x.least, x.most)
		}
		for i, n := range x.list {
			if slices.Contains(x.list[:i], n) {
				say("has %d twice; leave one out", n)
				break
			}
		}
		if x.given && !heeded(x.flag) {
			say("means nothing to %s; it belongs to %s", whom, strings.Join(heeding(x.flag), ", "))
		}
	}
	return errs
}

func least(of []int) int {
	if len(of) == 0 {
		return 0
	}
	return slices.Min(of)
}

// heeds reports whether a method has a setting.
func heeds(method, setting string) bool {
	if method == autoName {
		return setting == "budget"
	}
	return slices.Contains(heeding(setting), method)
}

// heeding are the methods that have a setting.
func heeding(setting string) (names []string) {
	for _, m := range methods {
		if slices.Contains(m.Settings, setting) {
			names = append(names, m.Name)
		}
	}
	if names != nil {
		return names
	}
	for _, m := range matrices {
		if m.heeds(setting) {
			names = append(names, "the matrix "+m.Name)
		}
	}
	return names
}

// over is s, with what is set in t in its place.
func (s Settings) over(t Settings) Settings {
	s.Steps, s.Samples, s.Budget = cmp.Or(t.Steps, s.Steps), cmp.Or(t.Samples, s.Samples), cmp.Or(t.Budget, s.Budget)
	if len(t.Layers) > 0 {
		s.Layers = t.Layers
	}
	if len(t.Heads) > 0 {
		s.Heads = t.Heads
	}
	return s
}
