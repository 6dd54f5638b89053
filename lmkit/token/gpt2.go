package token

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// endOfText is the special token of GPT-2, the last of its vocabulary.
const endOfText = "<|endoftext|>"

// LoadGPT2 reads the two files of GPT-2's tokenizer: encoder.json (each token's ID) and vocab.bpe (the merges, one a
// line, first learned first). A token <|endoftext|> in encoder.json becomes a special token, as in GPT-2's
// tokenizer.json.
func LoadGPT2(encoderJSON, vocabBPE io.Reader) (*BPE, error) {
	encoder, err := io.ReadAll(encoderJSON)
	if err != nil {
		return nil, fmt.Errorf("encoder.json: %w", err)
	}
	merges, err := io.ReadAll(vocabBPE)
	if err != nil {
		return nil, fmt.Errorf("vocab.bpe: %w", err)
	}
	return gpt2Of(namedFile{"encoder.json", encoder}, namedFile{"vocab.bpe", merges}, nil)
}

// namedFile is one of the two files, which have other names elsewhere.
type namedFile struct {
	name string
	data []byte
}

// gpt2Of makes the tokenizer of the two files. Of marks, which are added tokens, those with the ID -1 have that of the
// vocabulary, and are left out if it lacks them.
func gpt2Of(encoder, bpe namedFile, marks []addedToken) (*BPE, error) {
	var vocab idsOf
	if err := unmarshalOnce(encoder.data, &vocab); err != nil {
		return nil, fmt.Errorf("%s: %w: give a JSON object of tokens and their IDs", encoder.name, err)
	}
	var merges [][2]string
	for i, line := range strings.Split(strings.TrimSuffix(string(bpe.data), "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if i == 0 && (line == "" || strings.HasPrefix(line, "#version")) {
			continue
		}
		m, err := cutMerge(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", bpe.name, i+1, err)
		}
		merges = append(merges, m)
	}
	if !slices.ContainsFunc(marks, func(a addedToken) bool { return a.content == endOfText }) {
		marks = append(marks, addedToken{id: -1, content: endOfText, special: true, normalized: true})
	}
	var added []addedToken
	for _, a := range marks {
		id, own := vocab[a.content]
		if a.id < 0 && own {
			a.id = id
		}
		if a.id >= 0 {
			added = append(added, a)
		}
	}
	b, err := assembleBPE(vocab, merges, added)
	if err != nil {
		return nil, fmt.Errorf("GPT-2 files: %w", err)
	}
	return b, nil
}

// cutMerge reads a merge as one line: two tokens with a space between.
func cutMerge(line string) ([2]string, error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("merge %q: a merge is two tokens with one space between", line)
	}
	return [2]string{left, right}, nil
}

// assembleBPE makes a tokenizer of what GPT-2's vocabulary files hold.
func assembleBPE(vocab map[string]ID, merges [][2]string, added []addedToken) (*BPE, error) {
	return assemble(gpt2Settings(), vocab, merges, added)
}

// assemble makes a tokenizer of what a vocabulary file holds: tokens in its alphabet, and merges in their order.
func assemble(s settings, vocab map[string]ID, merges [][2]string, added []addedToken) (*BPE, error) {
	tokens, err := listTokens(vocab, added)
	if err != nil {
		return nil, err
	}
	apart := map[ID]bool{} // what no merge makes
	for i, a := range added {
		if _, own := vocab[a.content]; own && !a.special {
			_, err := fromFile(a.content)
			added[i].merged = err == nil || !s.byteLevel
		}
		apart[a.id] = !added[i].merged
	}
	for i, t := range tokens {
		if apart[ID(i)] || !s.byteLevel {
			continue
		}
		if tokens[i], err = fromFile(t); err != nil {
			return nil, err
		}
	}
	rules := make([]merge, 0, len(merges))
	for i, m := range merges {
		left, okLeft := vocab[m[0]]
		right, okRight := vocab[m[1]]
		into, okInto := vocab[m[0]+m[1]]
		if !okLeft || !okRight || !okInto {
			return nil, fmt.Errorf("merge %d, %q and %q: the vocabulary lacks one of the two, or what they make: "+
				"the two lists must come from the same training", i+1, m[0], m[1])
		}
		if !apart[left] && !apart[right] && !apart[into] {
			rules = append(rules, merge{pair{left, right}, into})
		}
	}
	return newBPE(s, tokens, rules, nil, added)
}

// listTokens puts the tokens in the order of their IDs, which must be 0, 1, 2 ... without a gap. Added tokens may be
// part of vocab, or follow it.
func listTokens(vocab map[string]ID, added []addedToken) ([]string, error) {
	n := len(vocab)
	listed := map[string]bool{}
	for _, a := range added {
		if id, ok := vocab[a.content]; !ok {
			n++
		} else if id != a.id {
			return nil, fmt.Errorf("added token %q has ID %d, but %d in the vocabulary: give it one ID", a.content, a.id, id)
		}
		if listed[a.content] {
			return nil, fmt.Errorf("added token %q is listed twice: list it once", a.content)
		}
		listed[a.content] = true
	}
	tokens, taken := make([]string, n), make([]bool, n)
	put := func(t string, id ID) error {
		switch {
		case id < 0 || int(id) >= n:
			return fmt.Errorf("token %q has ID %d: the IDs of %d tokens must be 0 to %d, each once", t, id, n, n-1)
		case taken[id] && tokens[id] != t:
			return fmt.Errorf("tokens %q and %q share ID %d: the IDs of %d tokens must be 0 to %d, each once",
				min(t, tokens[id]), max(t, tokens[id]), id, n, n-1)
		}
		tokens[id], taken[id] = t, true
		return nil
	}
	for t, id := range vocab {
		if err := put(t, id); err != nil {
			return nil, err
		}
	}
	for _, a := range added {
		if err := put(a.content, a.id); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
