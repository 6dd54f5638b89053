package token

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
)

// GGUF is what the metadata of a GGUF file says about its tokenizer, under the keys tokenizer.ggml.*. What a file
// does not say is nil.
type GGUF struct {
	Model          string    // "gpt2", byte-level, or "llama", SentencePiece's
	Pre            string    // gpt2: the name of its pattern
	Tokens         []string  // the vocabulary
	Scores         []float32 // llama: of each token; the highest is merged first
	Types          []int32   // of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
	Merges         []string  // gpt2: two tokens with a space between
	BOS, EOS       *ID       // bos_token_id, eos_token_id
	Unknown        *ID       // unknown_token_id
	AddBOS, AddEOS *bool     // add_bos_token, add_eos_token
	AddSpacePrefix *bool     // add_space_prefix
}

// The types of tokens in a GGUF file that matter here.
const (
	ggufUnknown     = 2
	ggufControl     = 3
	ggufUserDefined = 4
	ggufByte        = 6
)

// ggufPres are the names that GGUF files give to the ways to cut a text, each with the parts of a tokenizer.json that
// say the same, and its ignore_merges and whether a begin token is the default. Where the models that a name stands
// for were made with normalisation form C, it is written here, too, though the file does not say so.
var ggufPres = func() map[string]ggufPre {
	const whole, bos, nfc = true, true, `{"type":"NFC"}`
	plain := []string{`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`}
	digits := append([]string{`{"type":"Digits","individual_digits":true}`}, plain...)
	pres := map[string]ggufPre{}
	add := func(p ggufPre, names ...string) {
		for _, name := range names {
			pres[name] = p
		}
	}
	add(ggufPre{steps: plain}, "gpt-2", "phi-2", "mpt")
	add(ggufPre{steps: plain, normal: nfc}, "olmo")
	add(ggufPre{steps: digits}, "smollm", "starcoder", "refact", "command-r", "codeshell")
	add(ggufPre{steps: splitSteps(llama3Pattern), whole: whole, bos: bos}, "llama3", "llama-v3", "llama-bpe")
	add(ggufPre{steps: splitSteps(llama3Pattern)}, "dbrx", "smaug-bpe")
	add(ggufPre{steps: splitSteps(qwen2Pattern), normal: nfc}, "qwen2", "deepseek-r1-qwen")
	add(ggufPre{steps: splitSteps(qwen2Pattern)}, "stablelm2")
	add(ggufPre{steps: splitSteps(tekkenPattern), whole: whole}, "tekken")
	add(ggufPre{steps: splitSteps(gpt4oPattern)}, "gpt-4o")
	return pres
}()

type ggufPre struct {
	steps      []string
	normal     string
	whole, bos bool
}

// splitSteps cuts by a pattern, and takes the pieces' bytes.
func splitSteps(pattern string) []string {
	regex, _ := encodeJSON(pattern) // a text can always be written
	return []string{
		`{"type":"Split","pattern":{"Regex":` + string(regex) + `},"behavior":"Isolated","invert":false}`,
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}`,
	}
}

// FromGGUF makes the tokenizer that a GGUF file describes. What it cannot follow exactly is an error that names the
// key.
func FromGGUF(g GGUF) (*BPE, error) {
	b, err := fromGGUF(g)
	if err != nil {
		return nil, fmt.Errorf("tokenizer of a GGUF file: %w", err)
	}
	return b, nil
}

func fromGGUF(g GGUF) (*BPE, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	vocab := make(map[string]ID, len(g.Tokens))
	for i, t := range g.Tokens {
		if before, dup := vocab[t]; dup {
			return nil, fmt.Errorf("token %q has two IDs, %d and %d: a vocabulary lists each token once",
				printable.Short(t, 80), before, i)
		}
		vocab[t] = ID(i)
	}
	var added []addedToken
	for i, kind := range g.Types {
		if kind == ggufControl || kind == ggufUnknown || kind == ggufUserDefined {
			users := kind == ggufUserDefined
			added = append(added, addedToken{id: ID(i), content: g.Tokens[i], special: !users, merged: users})
		}
	}
	build := g.byBytes
	if g.Model == "llama" {
		build = g.byScores
	}
	b, bos, err := build(vocab, added)
	if err != nil {
		return nil, err
	}
	if g.AddBOS != nil {
		bos = *g.AddBOS
	}
	before, after := []ID(nil), []ID(nil)
	if bos {
		if g.BOS == nil {
			return nil, errors.New("a begin token is to be added, but there is no bos_token_id")
		}
		before = []ID{*g.BOS}
	}
	if g.AddEOS != nil && *g.AddEOS {
		if g.EOS == nil {
			return nil, errors.New("an end token is to be added, but there is no eos_token_id")
		}
		after = []ID{*g.EOS}
	}
	b.surround(before, after)
	if g.Unknown != nil && !b.byteLevel {
		b.unknown = *g.Unknown
	}
	return b, nil
}

// check refuses metadata that do not fit together.
func (g *GGUF) check() error {
	n := len(g.Tokens)
	switch {
	case g.Model != "gpt2" && g.Model != "llama":
		name := printable.Short(g.Model, 80)
		return fmt.Errorf("tokenizer.ggml.model %q is not supported: lmkit reads gpt2 and llama", name)
	case n == 0:
		return errors.New("tokenizer.ggml.tokens is empty or missing")
	case g.Types != nil && len(g.Types) != n:
		return fmt.Errorf("tokenizer.ggml.token_type has %d entries for %d tokens", len(g.Types), n)
	case g.Model == "llama" && len(g.Scores) != n:
		return fmt.Errorf("tokenizer.ggml.scores has %d entries for %d tokens", len(g.Scores), n)
	}
	for i, t := range g.Tokens {
		if t == "" || checkUTF8(t) != nil {
			return fmt.Errorf("token %d, %q: a token is some UTF-8 text", i, printable.Short(t, 80))
		}
	}
	for _, id := range []*ID{g.BOS, g.EOS, g.Unknown} {
		if id != nil && (*id < 0 || int(*id) >= n) {
			return fmt.Errorf("token %d, which the metadata name, is outside the vocabulary of %d", *id, n)
		}
	}
	return nil
}

// byBytes makes a byte-level tokenizer, and says whether a begin token is the default.
func (g *GGUF) byBytes(vocab map[string]ID, added []addedToken) (*BPE, bool, error) {
	pre, known := ggufPres[g.Pre]
	if !known {
		names := strings.Join(slices.Sorted(maps.Keys(ggufPres)), ", ")
		return nil, false, fmt.Errorf("tokenizer.ggml.pre %q is not supported: lmkit reads %s",
			printable.Short(g.Pre, 80), names)
	}
	doc := document{parts: gpt2Parts()}
	doc.PreTokenizer, doc.Normalizer = sequenceOf("pretokenizers", pre.steps...), json.RawMessage(pre.normal)
	s, err := readSettings(doc, bpeModel{IgnoreMerges: pre.whole})
	if err != nil {
		return nil, false, err
	}
	merges := make([][2]string, len(g.Merges))
	for i, line := range g.Merges {
		if merges[i], err = cutMerge(line); err != nil {
			return nil, false, fmt.Errorf("tokenizer.ggml.merges: %w", err)
		}
	}
	b, err := assemble(s, vocab, merges, added)
	return b, pre.bos, err
}

// byScores makes SentencePiece's tokenizer: of all pairs that make a token, the one whose token has the highest score
// is merged, the leftmost one first.
func (g *GGUF) byScores(vocab map[string]ID, added []addedToken) (*BPE, bool, error) {
	const space = `{"type":"Replace","pattern":{"String":" "},"content":"▁"}`
	normal := []string{space}
	decode := []string{`{"type":"Replace","pattern":{"String":"▁"},"content":" "}`, `{"type":"ByteFallback"}`,
		`{"type":"Fuse"}`}
	if g.AddSpacePrefix == nil || *g.AddSpacePrefix {
		normal = []string{`{"type":"Prepend","prepend":"▁"}`, space}
		decode = append(decode, `{"type":"Strip","content":" ","start":1,"stop":0}`)
	}
	doc := document{}
	doc.Normalizer, doc.Decoder = sequenceOf("normalizers", normal...), sequenceOf("decoders", decode...)
	s, err := readSettings(doc, bpeModel{FuseUnknown: true, ByteFallback: slices.Contains(g.Types, ggufByte)})
	if err != nil {
		return nil, false, err
	}
	merges, ranks := g.scored(vocab)
	b, err := newBPE(s, slices.Clone(g.Tokens), merges, ranks, added)
	return b, true, err
}

// scored returns all pairs that make a token, those of higher scores first, and their ranks: the same for the same
// score.
func (g *GGUF) scored(vocab map[string]ID) ([]merge, []int32) {
	apart := func(id ID) bool {
		return g.Types != nil && slices.Contains([]int32{ggufUnknown, ggufControl, ggufByte}, g.Types[id])
	}
	var merges []merge
	for i, t := range g.Tokens {
		if apart(ID(i)) {
			continue
		}
		for at := range t {
			left, okLeft := vocab[t[:at]]
			right, okRight := vocab[t[at:]]
			if okLeft && okRight && !apart(left) && !apart(right) {
				merges = append(merges, merge{pair{left, right}, ID(i)})
			}
		}
	}
	slices.SortStableFunc(merges, func(a, b merge) int { return cmp.Compare(g.Scores[b.into], g.Scores[a.into]) })
	ranks := make([]int32, len(merges))
	for i := 1; i < len(merges); i++ {
		ranks[i] = ranks[i-1]
		if g.Scores[merges[i].into] != g.Scores[merges[i-1].into] {
			ranks[i] = int32(i)
		}
	}
	return merges, ranks
}

// sequenceOf writes steps as one part of a tokenizer.json.
func sequenceOf(list string, steps ...string) json.RawMessage {
	return json.RawMessage(`{"type":"Sequence","` + list + `":[` + strings.Join(steps, ",") + `]}`)
}
