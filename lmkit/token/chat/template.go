package chat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/tokens"
	"lmkit.internal/lmkit/internal/printable"
)

// Template is a model's chat template, in the language Jinja. It is safe for concurrent use.
type Template struct {
	template *exec.Template
	settings Settings
	source   string
}

// The bounds on what a template may do. A model's file may hold any template: one that loops for ever, or writes
// without end, is an error.
const (
	maxSource  = 1 << 20 // bytes of a template
	maxOutput  = 1 << 24 // bytes that it may write, and that one of its values may have
	maxSteps   = 200_000 // loops, conditions and assignments that it may go through
	maxDepth   = 64      // macros within each other
	maxRange   = 10_000
	maxInteger = 6 // digits of a number in it
	maxBlocks  = 5_000
	maxTokens  = 2_000 // in one block
)

// New reads a chat template.
func New(source string, s Settings) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("chat template: %d bytes: lmkit reads up to %d", len(source), maxSource)
	}
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	var t *exec.Template
	var refused error
	err := guard(func() (err error) {
		c := code{source: source}
		if c.tokens, refused = lex(source, cfg); refused != nil {
			return nil
		}
		t, err = exec.NewTemplate(root, cfg, only(c.rewrite()), environment())
		return err
	})
	if refused != nil {
		return nil, fmt.Errorf("chat template: %w", refused)
	}
	if err != nil {
		return nil, fmt.Errorf("chat template: cannot be read: %s", reason(err))
	}
	return &Template{t, s, source}, nil
}

// lex cuts a template into tokens, and refuses what would make a value of any size in one step, or nest without end.
func lex(source string, cfg *config.Config) ([]*tokens.Token, error) {
	var out []*tokens.Token
	blocks, within := 0, 0
	for stream := tokens.LexAll(source, cfg); !stream.End(); stream.Next() {
		t := stream.Current()
		within++
		if t.Type == tokens.BlockBegin || t.Type == tokens.VariableBegin {
			blocks, within = blocks+1, 0
		}
		switch {
		case blocks > maxBlocks || within > maxTokens:
			return nil, fmt.Errorf("line %d: there are more than %d blocks, or one of more than %d words and marks",
				t.Line, maxBlocks, maxTokens)
		case t.Type == tokens.Error:
			return nil, fmt.Errorf("line %d cannot be read", t.Line)
		case t.Type == tokens.Multiply || t.Type == tokens.Power:
			return nil, fmt.Errorf("line %d multiplies, which lmkit does not follow", t.Line)
		case t.Type == tokens.Integer && len(t.Val) > maxInteger:
			return nil, fmt.Errorf("line %d has the number %s: lmkit follows up to %d digits",
				t.Line, printable.Short(t.Val, 20), maxInteger)
		}
		out = append(out, t)
	}
	return out, nil
}

// execute renders the template.
func (t *Template) execute(messages []Message, reply bool) (string, error) {
	list := make(turns, len(messages))
	for i, m := range messages {
		list[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	b := &budget{}
	out := &bounded{}
	data := exec.NewContext(map[string]any{
		"messages": list, "add_generation_prompt": reply, "bos_token": t.settings.BOS, "eos_token": t.settings.EOS,
		"tools": nil, "documents": nil, budgetKey: b,
		"raise_exception": func(message string) (any, error) {
			b.refused = fmt.Errorf("the chat template refuses this conversation: %s", printable.Short(message, 300))
			return nil, b.refused
		},
		"strftime_now": func(format string) (string, error) { return strftime(t.today(), format) },
		"range":        boundedRange,
	})
	err := guard(func() error { return t.template.Execute(out, data) })
	switch {
	case b.refused != nil:
		return "", b.refused
	case out.full:
		return "", fmt.Errorf("the chat template writes more than %d bytes", maxOutput)
	case err != nil:
		return "", fmt.Errorf("the chat template fails: %s", reason(err))
	}
	return out.String(), nil
}

// turns is a list that counts from its end, too: the interpreter's own lacks the first when counted so.
type turns []any

// GetItem returns an item by its place.
func (t turns) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += len(t)
	}
	if !ok || i < 0 || i >= len(t) {
		return exec.AsValue(nil), false
	}
	return exec.AsValue(t[i]), true
}

func (t *Template) today() time.Time {
	if t.settings.Date.IsZero() {
		return time.Now()
	}
	return t.settings.Date
}

// environment is what templates may use: Jinja's own, but for what reads other files, with Python's idea of white
// space.
func environment() *exec.Environment {
	functions := exec.EmptyContext()
	for _, name := range []string{"namespace", "dict", "cycler", "joiner"} {
		f, _ := builtins.GlobalFunctions.Get(name)
		functions.Set(name, f)
	}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	_ = filters.Replace("trim", trimFilter) // both are there
	_ = filters.Replace("tojson", jsonFilter)
	methods := builtins.Methods
	methods.Str = stringMethods()
	return &exec.Environment{
		Context: functions, Filters: filters, Tests: builtins.Tests, ControlStructures: structures(), Methods: methods,
	}
}

// only is a loader of one template: a template cannot read files.
type only string

const root = "chat template"

func (o only) Read(path string) (io.Reader, error) {
	if path != root {
		return nil, errors.New("a chat template cannot read other files")
	}
	return strings.NewReader(string(o)), nil
}

func (o only) Resolve(path string) (string, error)    { return path, nil }
func (o only) Inherit(string) (loaders.Loader, error) { return o, nil }

// bounded is a text that grows up to maxOutput.
type bounded struct {
	bytes.Buffer
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.full = true
		return 0, errors.New("too much")
	}
	return b.Buffer.Write(p)
}

// WriteString is Write: the buffer's own would pass by the bound.
func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }

// guard makes an error of a panic: the interpreter is another's, and the template may be anyone's.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be followed: %v", p)
		}
	}()
	return do()
}

// reason returns what an error says in one line: the interpreter puts whole templates into its errors.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return printable.Short(strings.ToValidUTF8(strings.Join(strings.Fields(err.Error()), " "), "?"), 300)
}
