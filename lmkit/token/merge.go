package token

// A merger merges the symbols of a piece of text. It keeps its memory between calls, and is for one goroutine.
type merger struct {
	symbols []symbol
	queue   []candidate // a binary heap: lowest rank first, then leftmost
}

// symbol is a token within a piece, in a list linked by index.
type symbol struct {
	id         ID    // -1: merged into the one before
	bytes      int32 // how many bytes of the piece it covers
	prev, next int32
}

// candidate is a pair that a rule may merge.
type candidate struct {
	pair
	rank int32
	at   int32 // index of the left symbol
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// covered is a token, and how many bytes of a piece it covers.
type covered struct {
	id    ID
	bytes int32
}

// merge returns the tokens of the symbols that were loaded: again and again, the pair with the lowest rank is merged,
// the leftmost one first. It takes n log n time.
func (m *merger) merge(b *BPE) []covered {
	m.queue = m.queue[:0]
	n := len(m.symbols)
	for i := range m.symbols {
		m.symbols[i].prev, m.symbols[i].next = int32(i-1), int32(i+1)
	}
	if n > 0 {
		m.symbols[n-1].next = -1
	}
	for i := range m.symbols {
		m.offer(b, int32(i))
	}
	for len(m.queue) > 0 {
		c := m.pop()
		left := &m.symbols[c.at]
		if left.id != c.left || left.next < 0 || m.symbols[left.next].id != c.right {
			continue // one of the two has been merged since
		}
		right := &m.symbols[left.next]
		left.id, left.bytes, left.next = b.rules[c.pair].into, left.bytes+right.bytes, right.next
		right.id = -1
		if left.next >= 0 {
			m.symbols[left.next].prev = c.at
		}
		m.offer(b, left.prev)
		m.offer(b, c.at)
		n--
	}
	tokens := make([]covered, 0, n)
	for at := int32(0); at >= 0 && len(m.symbols) > 0; at = m.symbols[at].next {
		tokens = append(tokens, covered{m.symbols[at].id, m.symbols[at].bytes})
	}
	return tokens
}

// add loads one more symbol.
func (m *merger) add(id ID, bytes int) {
	m.symbols = append(m.symbols, symbol{id: id, bytes: int32(bytes)})
}

// offer queues the pair whose left symbol is at, if there is a rule for it.
func (m *merger) offer(b *BPE, at int32) {
	if at < 0 || m.symbols[at].next < 0 {
		return
	}
	p := pair{m.symbols[at].id, m.symbols[m.symbols[at].next].id}
	r, ok := b.rules[p]
	if !ok {
		return
	}
	q := append(m.queue, candidate{p, r.rank, at})
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
	m.queue = q
}

// pop takes the first candidate from the queue.
func (m *merger) pop() candidate {
	q := m.queue
	first := q[0]
	q[0] = q[len(q)-1]
	q = q[:len(q)-1]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q[child].before(q[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
	m.queue = q
	return first
}
