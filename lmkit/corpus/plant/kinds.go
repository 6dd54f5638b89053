package plant

import (
	"math/rand/v2"
	"slices"
)

// kind is how the items of one task are made.
type kind struct {
	name              string
	size, least, most int // default and bounds of Config.Size
	labels            []string
	words             [][]string // everything that may be in Item.Tokens
	// make returns an item, all but Text and Label. honest says whether the shortcut, if there is one, points to the
	// label.
	make func(d draw, size, label int, honest bool) Item
}

func kindOf(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

const (
	query = "=>" // asks for the label
	ask   = "?"  // asks for the value of the key that follows
)

var (
	yesNo     = []string{"yes", "no"}
	markers   = []string{"ruby", "jade"} // yes, no; as a pair: the first of the two says which
	shortcuts = []string{"plum", "lime"} // goes with yes, goes with no
	fillers   = []string{"river", "stone", "cloud", "table", "paper", "window", "garden", "street", "bridge", "winter",
		"music",
		"letter", "silver", "engine", "forest", "candle", "mirror", "pocket", "ladder", "button", "carpet", "island",
		"valley", "hammer"}

	keys = []string{"anna", "boris", "clara", "david", "elena", "felix", "greta", "hugo", "irene", "jonas", "karin", "leo",
		"maria", "nils", "olga", "peter"}
	values = []string{"red", "green", "blue", "yellow", "white", "black", "purple", "orange", "pink", "brown", "grey",
		"gold"}

	verbs    = []string{"is", "are"}
	singular = []string{"key", "box", "book", "lamp", "knife", "man", "woman", "child", "mouse", "farmer", "letter",
		"bottle"}
	plural = []string{"keys", "boxes", "books", "lamps", "knives", "men", "women", "children", "mice", "farmers",
		"letters", "bottles"}
	between = []string{"near", "behind", "beside", "above", "below", "with"}
)

const article = "the"

var kinds = []kind{
	{name: "marker", size: 12, least: 4, most: 1024, labels: yesNo, words: [][]string{markers, fillers, {query}},
		make: func(d draw, size, label int, _ bool) Item {
			it := d.among(size, markers[label])
			it.Foil = yesNo[1-label]
			return it
		}},
	{name: "pair", size: 12, least: 5, most: 1024, labels: yesNo, words: [][]string{markers, fillers, {query}},
		make: func(d draw, size, label int, _ bool) Item {
			first, second := d.twoPlaces(size)
			it := d.filled(size)
			it.Tokens[first], it.Tokens[second] = markers[label], markers[1-label]
			it.Cause = []int{first, second}
			it.Foil = yesNo[1-label]
			return it
		}},
	{name: "recall", size: 4, least: 2, most: len(values), labels: values, words: [][]string{keys, {ask, query}},
		make: recall},
	{name: "agreement", size: 2, least: 1, most: 256, labels: verbs, words: [][]string{{article}, singular, plural,
		between}, make: agreement},
	{name: "shortcut", size: 12, least: 5, most: 1024, labels: yesNo, words: [][]string{markers, shortcuts, fillers,
		{query}},
		make: func(d draw, size, label int, honest bool) Item {
			it := d.among(size, markers[label])
			place := d.IntN(size - 1) // any but that of the marker
			if place >= it.Cause[0] {
				place++
			}
			points := label
			if !honest {
				points = 1 - label
			}
			it.Tokens[place] = shortcuts[points]
			it.Decoys = []int{place}
			it.Foil = yesNo[1-label]
			return it
		}},
}

// recall: k v k v ... ? k =>
func recall(d draw, size, label int, _ bool) Item {
	ks := d.Perm(len(keys))[:size]
	vs := d.Perm(len(values))
	vs = slices.DeleteFunc(vs, func(v int) bool { return v == label })[:size-1]
	asked := d.IntN(size)
	vs = slices.Insert(vs, asked, label)
	var it Item
	for i := range size {
		at := len(it.Tokens)
		it.Tokens = append(it.Tokens, keys[ks[i]], values[vs[i]])
		if i == asked {
			it.Cause = append(it.Cause, at, at+1)
		} else {
			it.Decoys = append(it.Decoys, at, at+1)
		}
	}
	it.Cause = append(it.Cause, len(it.Tokens)+1)
	it.Tokens = append(it.Tokens, ask, keys[ks[asked]], query)
	other := d.IntN(size - 1)
	if other >= asked {
		other++
	}
	it.Foil = values[vs[other]]
	return it
}

// agreement: the NOUN near the NOUN behind the NOUN ...
func agreement(d draw, size, label int, _ bool) Item {
	numbers := [][]string{singular, plural}
	it := Item{Tokens: []string{article, d.of(numbers[label])}, Cause: []int{1}, Foil: verbs[1-label]}
	for range size {
		it.Tokens = append(it.Tokens, d.of(between), article, d.of(numbers[d.IntN(2)]))
		it.Decoys = append(it.Decoys, len(it.Tokens)-1)
	}
	return it
}

// draw makes the choices of one item.
type draw struct{ *rand.Rand }

func (d draw) of(list []string) string { return list[d.IntN(len(list))] }

// filled returns size filler words and the query.
func (d draw) filled(size int) Item {
	it := Item{Tokens: make([]string, size, size+1)}
	for i := range it.Tokens {
		it.Tokens[i] = d.of(fillers)
	}
	it.Tokens = append(it.Tokens, query)
	return it
}

// among puts one word among filler words.
func (d draw) among(size int, word string) Item {
	it := d.filled(size)
	place := d.IntN(size)
	it.Tokens[place] = word
	it.Cause = []int{place}
	return it
}

// twoPlaces returns two different places, ascending.
func (d draw) twoPlaces(size int) (int, int) {
	a, b := d.IntN(size), d.IntN(size-1)
	if b >= a {
		b++
	}
	return min(a, b), max(a, b)
}
