package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// counters are the numbers about a server that Prometheus reads.
type counters struct{ set *metrics.Set }

func newCounters() *counters { return &counters{metrics.NewSet()} }

// watch shows how full a queue is.
func (c *counters) watch(q *queue) {
	c.set.NewGauge("lmkit_requests_running", func() float64 { return float64(len(q.turns)) })
	c.set.NewGauge("lmkit_requests_waiting", func() float64 { return float64(q.waiting.Load()) })
}

// answered counts an answer. A route is a pattern of the server's own, never what a client wrote.
func (c *counters) answered(route string, status int, took time.Duration) {
	labels := fmt.Sprintf("{route=%s,status=\"%d\"}", strconv.Quote(route), status)
	c.set.GetOrCreateCounter("lmkit_requests_total" + labels).Inc()
	c.set.GetOrCreateHistogram("lmkit_request_seconds" + fmt.Sprintf("{route=%s}", strconv.Quote(route))).
		Update(took.Seconds())
}

// rows counts what the models computed.
func (c *counters) rows(forward, backward int) {
	c.set.GetOrCreateCounter("lmkit_rows_forward_total").Add(forward)
	c.set.GetOrCreateCounter("lmkit_rows_backward_total").Add(backward)
}

// batch counts a batch of scores, which may answer many requests.
func (c *counters) batch() { c.set.GetOrCreateCounter("lmkit_score_batches_total").Inc() }

// tokens counts what was generated.
func (c *counters) tokens(n int) { c.set.GetOrCreateCounter("lmkit_tokens_generated_total").Add(n) }

func (c *counters) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	c.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
