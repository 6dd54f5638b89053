package gradient

// The rules of Patterson (1968, "The optimum addition of points to quadrature formulae", Mathematics of Computation
// 22): 3, 7, 15 and 31 points, each of which holds the one before, so that a finer rule costs the new points alone.
// They are exact for polynomials up to degree 5, 11, 23 and 47. (Numbers computed with 120 digits from the
// definition: the polynomial of the added points is orthogonal to all lower ones under the weight of the old points'
// polynomial.)
var rules = [...]int{3, 7, 15, 31}

// patterson has the points of the rule of 31 that are not negative, on [-1, 1], and their weights in each rule: 0 where
// a rule does not have the point.
var patterson = [16][1 + len(rules)]float64{
	{0, 0.8888888888888888889, 0.4509165386584741423, 0.2255104997982066874, 0.1127552567207686916},
	{0.1124889431331866257, 0, 0, 0, 0.1119568730209534569},
	{0.2233866864289668816, 0, 0, 0.2191568584015874964, 0.1095784210559246382},
	{0.3311353932579768331, 0, 0, 0, 0.1056698935802348097},
	{0.434243749346802558, 0, 0.4013974147759622229, 0.200628529376989021, 0.1003142786117955788},
	{0.531319743644375624, 0, 0, 0, 0.09362710998126447362},
	{0.6211029467372264029, 0, 0, 0.1715119091363913808, 0.08575592004999035115},
	{0.7024962064915270786, 0, 0, 0, 0.07687962049900353104},
	{0.774596669241483377, 0.5555555555555555556, 0.2684880898683334407, 0.1344152552437842204, 0.06720775429599070354},
	{0.8367259381688687355, 0, 0, 0, 0.05697950949412335741},
	{0.8884592328722569989, 0, 0, 0.09292719531512453769, 0.04646289326175798654},
	{0.9296548574297400567, 0, 0, 0, 0.0359571033071293221},
	{0.9604912687080202834, 0, 0.1046562260264672652, 0.0516032829970797397, 0.02580759809617665356},
	{0.9815311495537401069, 0, 0, 0, 0.01644604985438781093},
	{0.9938319632127550222, 0, 0, 0.01700171962994026034, 0.008434565739321106246},
	{0.9990981249676675977, 0, 0, 0, 0.002544780791561874415},
}

// node is a point of the rules on [0, 1], and its weight in each.
type node struct {
	at     float64
	weight [len(rules)]float64
}

// nodes is the 31 points, those of the first rule first.
var nodes = func() (all []node) {
	for first := range rules {
		for _, p := range patterson {
			at, weight := p[0], [len(rules)]float64(p[1:])
			if weight[first] == 0 || first > 0 && weight[first-1] != 0 {
				continue
			}
			for r := range weight {
				weight[r] /= 2
			}
			all = append(all, node{(1 - at) / 2, weight})
			if at != 0 {
				all = append(all, node{(1 + at) / 2, weight})
			}
		}
	}
	return all
}()
