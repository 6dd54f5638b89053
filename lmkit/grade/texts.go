package grade

import (
	"math"
	"regexp"
	"strings"
	"unicode"

	"lmkit.internal/lmkit/corpus"
)

// Texts is how near written answers come to the right ones, in percent.
type Texts struct {
	BLEU float64 `json:"bleu"` // see [BLEU]
	ChrF float64 `json:"chrf"` // see [ChrF]
}

func textsOf(pairs []corpus.Pair, said []string) *Texts {
	right := make([]string, len(pairs))
	for i, p := range pairs {
		right[i] = strings.TrimSpace(p.Answer)
	}
	return &Texts{BLEU: BLEU(said, right), ChrF: ChrF(said, right)}
}

// bleuOrder is the longest n-gram of BLEU.
const bleuOrder = 4

// BLEU is how many n-grams of what was said, of up to four words, occur in the right text, in percent, over all texts
// together and with one right text each:
//
//	BLEU = 100 * min(1, exp(1 - r/s)) * exp(mean over n of log(matches_n / ngrams_n))
//
// where s and r are the words of all that was said and of all that is right. Words are those of the tokenizer 13a,
// and orders without a match count as half, a quarter, ... of one (Papineni et al. 2002; as sacreBLEU, Post 2018, has
// it with its default settings).
func BLEU(said, right []string) float64 {
	var matches, total [bleuOrder]int
	s, r := 0, 0
	for i := range said {
		a, b := words13a(said[i]), words13a(right[i])
		s, r = s+len(a), r+len(b)
		for n := range bleuOrder {
			of := ngrams(b, n+1)
			for g, k := range ngrams(a, n+1) {
				matches[n] += min(k, of[g])
				total[n] += k
			}
		}
	}
	if matches[0] == 0 {
		return 0
	}
	sum, half := 0.0, 1.0
	for n := range bleuOrder {
		if total[n] == 0 { // all texts are shorter
			return 0
		}
		share := float64(matches[n]) / float64(total[n])
		if matches[n] == 0 {
			half /= 2
			share = half / float64(total[n])
		}
		sum += math.Log(share)
	}
	brevity := 1.0
	if s < r {
		brevity = math.Exp(1 - float64(r)/float64(s))
	}
	return 100 * brevity * math.Exp(sum/bleuOrder)
}

// ngrams counts the stretches of n parts.
func ngrams(parts []string, n int) map[string]int {
	count := map[string]int{}
	for i := range len(parts) - n + 1 {
		count[strings.Join(parts[i:i+n], "\x00")]++
	}
	return count
}

// The tokenizer 13a of the machine translation evaluations of NIST and WMT: marks are words of their own, but for a
// point or a comma between digits, and a dash that does not follow a digit.
var (
	unescape = strings.NewReplacer("<skipped>", "", "-\n", "", "\n", " ")
	entities = strings.NewReplacer("&quot;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">")
	marks    = regexp.MustCompile("([\\{-\\~\\[-\\` -\\&\\(-\\+\\:-\\@\\/])")
	before   = regexp.MustCompile(`([^0-9])([\.,])`)
	after    = regexp.MustCompile(`([\.,])([^0-9])`)
	dash     = regexp.MustCompile(`([0-9])(-)`)
)

func words13a(line string) []string {
	line = unescape.Replace(line)
	if strings.Contains(line, "&") {
		line = entities.Replace(line)
	}
	line = " " + line + " "
	line = marks.ReplaceAllString(line, " $1 ")
	line = before.ReplaceAllString(line, "$1 $2 ")
	line = after.ReplaceAllString(line, " $1 $2")
	line = dash.ReplaceAllString(line, "$1 $2 ")
	return strings.Fields(line)
}

// The longest n-gram of characters of chrF, and how much more recall counts than precision.
const (
	chrOrder = 6
	chrBeta  = 2
)

// ChrF is the F-score of n-grams of characters, in percent, over all texts together: precision and recall are means
// over the orders 1 to 6 that both sides have, white space does not count, and recall counts twice (chrF2: Popović
// 2015; as sacreBLEU has it with its default settings).
func ChrF(said, right []string) float64 {
	var hyp, ref, match [chrOrder]int
	for i := range said {
		a, b := characters(said[i]), characters(right[i])
		for n := range chrOrder {
			of := ngrams(b, n+1)
			for g, k := range ngrams(a, n+1) {
				match[n] += min(k, of[g])
			}
			ref[n] += max(0, len(b)-n)
			if len(b) > n { // else there is nothing that it could match
				hyp[n] += max(0, len(a)-n)
			}
		}
	}
	precision, recall, orders := 0.0, 0.0, 0.0
	for n := range chrOrder {
		if hyp[n] > 0 && ref[n] > 0 {
			precision += float64(match[n]) / float64(hyp[n])
			recall += float64(match[n]) / float64(ref[n])
			orders++
		}
	}
	if precision+recall == 0 {
		return 0
	}
	precision, recall = precision/orders, recall/orders
	const b = chrBeta * chrBeta
	return 100 * (1 + b) * precision * recall / (b*precision + recall)
}

// characters are those that are no white space.
func characters(text string) (list []string) {
	for _, r := range text {
		if !unicode.IsSpace(r) {
			list = append(list, string(r))
		}
	}
	return list
}
