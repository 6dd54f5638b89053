package corpus

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// GrammarMax is the largest number of sentences that Grammar is asked for.
const GrammarMax = 100_000

// Grammar returns n distinct English sentences, one a line, of which a tenth is held out for validation and a tenth for
// testing; no sentence is in two parts. There is something real to learn in them:
//   - a verb agrees with its subject however many other nouns stand between ("The keys near the box that the man
//     holds are old.");
//   - a number agrees with its noun ("Two boxes are ...", "One box is ...");
//   - each person has one town, one pet, one colour and one number, the same in every sentence ("Anna, who lives in
//     Rome, ...").
//
// Everything follows from the seed; a larger n has the sentences of a smaller one and more. n is 10 to GrammarMax.
func Grammar(seed uint64, n int) (*Corpus, error) {
	if n < 10 || n > GrammarMax {
		return nil, fmt.Errorf("grammar of %d sentences: need 10 to %d", n, GrammarMax)
	}
	g := newGrammar(seed)
	var parts [10]strings.Builder // every tenth sentence together
	seen := make(map[string]bool, n)
	for i := uint64(0); len(seen) < n; i++ {
		s := g.sentence(rand.New(rand.NewPCG(seed, i+1)))
		if seen[s] {
			continue
		}
		part := &parts[0]
		switch len(seen) % 10 {
		case 8:
			part = &parts[1]
		case 9:
			part = &parts[2]
		}
		seen[s] = true
		part.WriteString(s)
		part.WriteByte('\n')
	}
	doc := func(name string, part int) []Document { return []Document{{"grammar " + name, parts[part].String()}} }
	return &Corpus{Name: "grammar", Train: doc("train", 0), Valid: doc("valid", 1), Test: doc("test", 2)}, nil
}

// word is a noun or a verb in its singular and its plural form.
type word struct{ one, many string }

func (w word) form(many bool) string {
	if many {
		return w.many
	}
	return w.one
}

var (
	things = []word{{"key", "keys"}, {"box", "boxes"}, {"book", "books"}, {"lamp", "lamps"}, {"knife", "knives"},
		{"coat", "coats"}, {"letter", "letters"}, {"bottle", "bottles"}, {"chair", "chairs"}, {"picture", "pictures"},
		{"basket", "baskets"}, {"shelf", "shelves"}, {"cup", "cups"}, {"map", "maps"}, {"bell", "bells"},
		{"glass", "glasses"}}
	persons = []word{{"man", "men"}, {"woman", "women"}, {"child", "children"}, {"farmer", "farmers"},
		{"doctor", "doctors"},
		{"teacher", "teachers"}, {"pilot", "pilots"}, {"baker", "bakers"}, {"singer", "singers"}, {"painter", "painters"}}
	handles = []word{{"holds", "hold"}, {"sees", "see"}, {"buys", "buy"}, {"wants", "want"}, {"carries", "carry"},
		{"finds", "find"}, {"sells", "sell"}, {"likes", "like"}, {"cleans", "clean"}, {"draws", "draw"}}
	isAre   = word{"is", "are"}
	wasWere = word{"was", "were"}

	nears  = []string{"near", "behind", "under", "beside", "above", "below"}
	places = []string{"in the kitchen", "in the garden", "on the table", "by the window", "in the cellar", "on the floor"}
	states = []string{"old", "new", "clean", "broken", "heavy", "small", "dusty", "lost", "cheap", "strange"}
	kinds  = []string{"little", "big", "wooden", "round", "strong", "dark", "bright", "plain"}
	whens  = []string{"today", "every morning", "in the evening", "after lunch", "on Sunday", "in winter"}
	names  = []string{"Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karin",
		"Leo", "Maria", "Nils", "Olga", "Peter"}
	towns   = []string{"Rome", "Paris", "London", "Vienna", "Lisbon", "Oslo", "Madrid", "Prague"}
	pets    = []string{"dog", "cat", "horse", "parrot", "rabbit", "goat", "turtle", "duck"}
	colours = []string{"red", "green", "blue", "yellow", "white", "black", "purple", "orange"}
	counts  = []string{"one", "two", "three", "four", "five", "six", "seven", "eight"}
)

// grammar holds the facts of its world: for each name an index into towns, pets, colours and counts.
type grammar struct{ facts [][]int }

func newGrammar(seed uint64) grammar {
	rng := rand.New(rand.NewPCG(seed, 0))
	g := grammar{make([][]int, len(names))}
	for range 4 {
		order := rng.Perm(len(names)) // each value belongs to equally many names
		for name := range g.facts {
			g.facts[name] = append(g.facts[name], order[name]%len(towns))
		}
	}
	return g
}

// chooser draws the choices of one sentence.
type chooser struct{ *rand.Rand }

func (c chooser) of(list []string) string { return list[c.IntN(len(list))] }
func (c chooser) word(list []word) word   { return list[c.IntN(len(list))] }
func (c chooser) coin() bool              { return c.IntN(2) == 0 }

func (g grammar) sentence(rng *rand.Rand) string {
	c := chooser{rng}
	var s string
	switch k := c.IntN(10); {
	case k < 5:
		s = c.agreement()
	case k < 6:
		s = c.number()
	default:
		s = g.fact(c)
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// agreement is a subject, up to two phrases that come between, and a verb that agrees with the subject.
func (c chooser) agreement() string {
	many, alive := c.coin(), c.coin()
	list := things
	if alive {
		list = persons
	}
	s := c.noun(list, many)
	for range c.IntN(3) {
		s += c.between()
	}
	switch c.IntN(3) {
	case 0:
		return s + " " + isAre.form(many) + " " + c.of(states)
	case 1:
		return s + " " + wasWere.form(many) + " " + c.of(places)
	default:
		if alive {
			return s + " " + c.word(handles).form(many) + " " + c.noun(things, c.coin()) + " " + c.of(whens)
		}
		return s + " " + isAre.form(many) + " " + c.of(places) + " " + c.of(whens)
	}
}

// between is a phrase that may tempt the verb into the wrong number.
func (c chooser) between() string {
	if c.coin() {
		return " " + c.of(nears) + " " + c.noun(things, c.coin())
	}
	many := c.coin()
	return " that " + c.noun(persons, many) + " " + c.word(handles).form(many)
}

func (c chooser) noun(list []word, many bool) string {
	s := "the "
	if c.IntN(3) == 0 {
		s += c.of(kinds) + " "
	}
	return s + c.word(list).form(many)
}

// number has a numeral that its noun and its verb agree with.
func (c chooser) number() string {
	i := c.IntN(len(counts))
	many := i > 0
	s := counts[i] + " " + c.word(things).form(many)
	if c.coin() {
		s += c.between()
	}
	return s + " " + isAre.form(many) + " " + c.of(places)
}

// fact is a sentence about a person that states one or two of the facts.
func (g grammar) fact(c chooser) string {
	i := c.IntN(len(names))
	name, town, pet, colour, count := names[i], towns[g.facts[i][0]], pets[g.facts[i][1]], colours[g.facts[i][2]],
		g.facts[i][3]
	does := c.word(handles).one
	switch c.IntN(8) {
	case 0:
		return fmt.Sprintf("%s lives in %s and %s %s", name, town, does, c.noun(things, c.coin()))
	case 1:
		return fmt.Sprintf("%s, who lives in %s, %s %s", name, town, does, c.noun(things, c.coin()))
	case 2:
		return fmt.Sprintf("in %s %s %s %s", town, name, does, c.noun(things, c.coin()))
	case 3:
		return fmt.Sprintf("%s walks the %s %s near %s", name, pet, c.of(whens), c.noun(things, c.coin()))
	case 4:
		return fmt.Sprintf("the %s of %s is %s %s", pet, name, c.of(nears), c.noun(things, c.coin()))
	case 5:
		return fmt.Sprintf("%s paints %s %s", name, c.noun(things, c.coin()), colour)
	case 6:
		return fmt.Sprintf("%s has %s %s %s", name, counts[count], c.word(things).form(count > 0), c.of(places))
	default:
		return fmt.Sprintf("%s %s %s in %s with the %s", name, does, c.noun(things, c.coin()), town, pet)
	}
}
