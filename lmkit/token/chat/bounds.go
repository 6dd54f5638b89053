package chat

import (
	"errors"
	"fmt"

	"github.com/nikolalohinski/gonja/v2/builtins"
	control "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
	"lmkit.internal/lmkit/internal/printable"
)

// budget counts what a rendering has done.
type budget struct {
	steps, depth int
	refused      error // what raise_exception said
}

// budgetKey is where a rendering keeps its budget. No template can name it.
const budgetKey = " budget"

func budgetOf(r *exec.Renderer) *budget {
	v, _ := r.Environment.Context.Get(budgetKey)
	b, _ := v.(*budget)
	if b == nil {
		b = &budget{}
	}
	return b
}

// step is a control structure that counts against the budget.
type step struct {
	exec.ControlStructure
	target string // set: the variable, or the namespace
}

// Execute runs the structure.
func (s *step) Execute(r *exec.Renderer, block *nodes.ControlStructureBlock) error {
	b := budgetOf(r)
	if b.steps++; b.steps > maxSteps {
		return fmt.Errorf("it goes through more than %d steps", maxSteps)
	}
	if err := s.ControlStructure.Execute(r, block); err != nil {
		return err
	}
	if s.target != "" {
		if v, ok := r.Environment.Context.Get(s.target); ok && tooLong(v) {
			return fmt.Errorf("the value of %s has more than %d bytes", printable.Short(s.target, 40), maxOutput)
		}
	}
	if m, ok := s.ControlStructure.(*control.MacroControlStructure); ok {
		v, _ := r.Environment.Context.Get(m.Name)
		if call, ok := v.(exec.Macro); ok {
			r.Environment.Context.Set(m.Name, b.macro(call))
		}
	}
	return nil
}

// macro bounds how deep calls of macros are within each other, and how many there are.
func (b *budget) macro(call exec.Macro) exec.Macro {
	return func(args *exec.VarArgs) *exec.Value {
		b.steps++
		b.depth++
		defer func() { b.depth-- }()
		if b.depth > maxDepth || b.steps > maxSteps {
			return exec.AsValue(errors.New("its macros call each other without end"))
		}
		return call(args)
	}
}

// tooLong reports whether a value, or one in it, is a text over the bound.
func tooLong(v any) bool {
	switch v := v.(type) {
	case string:
		return len(v) > maxOutput
	case *exec.Value:
		return v != nil && v.IsString() && len(v.String()) > maxOutput
	case map[string]any:
		for _, inner := range v {
			if _, nested := inner.(map[string]any); !nested && tooLong(inner) {
				return true
			}
		}
	}
	return false
}

// structures are the control structures that chat templates have, each a step.
func structures() *exec.ControlStructureSet {
	all := map[string]parser.ControlStructureParser{}
	for _, name := range []string{"for", "if", "set", "macro", "filter", "with", "raw", "do"} {
		inner, _ := builtins.ControlStructures.Get(name)
		all[name] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
			target := ""
			if t := args.Current(); name == "set" && t != nil && t.Type == tokens.Name {
				target = t.Val
			}
			return wrap(inner, p, args, target)
		}
	}
	for _, name := range []string{"break", "continue"} { // they work by an error that must come through as it is
		all[name], _ = builtins.ControlStructures.Get(name)
	}
	all["generation"] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		body, end, err := p.WrapUntil("endgeneration")
		if err != nil {
			return nil, err
		}
		if !args.End() || !end.End() {
			return nil, errors.New("generation takes no arguments")
		}
		return &step{ControlStructure: &generation{body}}, nil
	}
	return exec.NewControlStructureSet(all)
}

func wrap(inner parser.ControlStructureParser, p, args *parser.Parser, target string) (nodes.ControlStructure, error) {
	node, err := inner(p, args)
	if err != nil {
		return nil, err
	}
	if loop, ok := node.(*control.ForControlStructure); ok && loop.Recursive {
		return nil, errors.New("recursive loops are not followed")
	}
	if s, ok := node.(exec.ControlStructure); ok {
		return &step{s, target}, nil
	}
	return node, nil
}

// generation is what transformers has templates mark the model's own turns with. It writes what is in it.
type generation struct{ *nodes.Wrapper }

// Execute writes the body.
func (g *generation) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.Wrapper)
}

// boundedRange is Python's range as a list.
func boundedRange(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	bounds := []int{0, 0, 1}
	for i, a := range args.Args {
		if i > 2 || !a.IsInteger() {
			return nil, errors.New("range takes one to three whole numbers")
		}
		bounds[i] = a.Integer()
	}
	if len(args.Args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	start, stop, by := bounds[0], bounds[1], bounds[2]
	if by == 0 || len(args.Args) == 0 {
		return nil, errors.New("range takes one to three whole numbers, the third not 0")
	}
	out := []int{}
	for i := start; by > 0 && i < stop || by < 0 && i > stop; i += by {
		if len(out) == maxRange {
			return nil, fmt.Errorf("a range of more than %d numbers", maxRange)
		}
		out = append(out, i)
	}
	return out, nil
}
