package token

// A merger merges the bytes of pre-tokens. It keeps its memory between calls, and is for one goroutine.
type merger struct {
	parts []part
	queue []candidate // a binary heap: lowest rank first, then leftmost
	round []int32
}

// part is a token within a pre-token, in a list linked by index.
type part struct {
	id         ID // -1: merged into the one before
	prev, next int32
}

type candidate struct {
	rank int32
	at   int32 // index of the left part
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// merge returns the tokens of a pre-token, all of whose bytes are in the vocabulary: again and again, the pair with the
// lowest rank is merged everywhere, from left to right. It takes n log n time.
func (m *merger) merge(b *BPE, text string) []ID {
	m.load(b, text)
	n := len(m.parts)
	for len(m.queue) > 0 {
		rank := m.queue[0].rank
		m.round = m.round[:0]
		for len(m.queue) > 0 && m.queue[0].rank == rank {
			m.round = append(m.round, m.pop().at)
		}
		rule := b.merges[rank]
		for _, at := range m.round {
			left := &m.parts[at]
			if left.id != rule.left || left.next < 0 || m.parts[left.next].id != rule.right {
				continue // one of the two has been merged since
			}
			right := &m.parts[left.next]
			left.id, right.id, left.next = rule.into, -1, right.next
			if left.next >= 0 {
				m.parts[left.next].prev = at
			}
			m.offer(b, left.prev)
			m.offer(b, at)
			n--
		}
	}
	ids := make([]ID, 0, n)
	for at := int32(0); at >= 0; at = m.parts[at].next {
		ids = append(ids, m.parts[at].id)
	}
	return ids
}

// load starts with one part for each byte.
func (m *merger) load(b *BPE, text string) {
	m.parts, m.queue = m.parts[:0], m.queue[:0]
	for i := range len(text) {
		m.parts = append(m.parts, part{id: b.bytes[text[i]], prev: int32(i - 1), next: int32(i + 1)})
	}
	m.parts[len(m.parts)-1].next = -1
	for i := range m.parts {
		m.offer(b, int32(i))
	}
}

// offer queues the pair whose left part is at, if there is a merge for it.
func (m *merger) offer(b *BPE, at int32) {
	if at < 0 || m.parts[at].next < 0 {
		return
	}
	rank, ok := b.rank[pair{m.parts[at].id, m.parts[m.parts[at].next].id}]
	if !ok {
		return
	}
	q := append(m.queue, candidate{int32(rank), at})
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
