package format

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/net"
)

// rotary reads how positions turn queries and keys: rope_parameters, as transformers writes it since version 5, or
// rope_theta, rope_scaling and the share of a head that turns, as it did before. Where a family has such a share,
// part is its default; 0: all of a head turns.
func rotary(k *keys, c *net.Config, theta, part float64) {
	for _, name := range ropeObjects {
		k.lend("rope_theta", name, "rope_theta")
		k.lend("partial_rotary_factor", name, "partial_rotary_factor")
	}
	theta = take(k, "rope_theta", theta)
	share := 1.0
	if part > 0 {
		share = take(k, "partial_rotary_factor", part)
	} else {
		must(k, "partial_rotary_factor", 1.0)
	}
	c.Positions = net.Rotary
	var said []net.Rope
	for _, name := range ropeObjects {
		if s := k.sub(name); s != nil {
			said = append(said, scaled(s, c, theta, share, part > 0))
			k.done(name, s)
		}
	}
	switch {
	case len(said) == 0:
		c.Rope = turning(c, theta, share)
	case said[0] != said[len(said)-1]:
		k.errs = append(k.errs, "rope_parameters and rope_scaling say different things: which one counts?")
	default:
		c.Rope = said[0]
	}
}

// ropeObjects are the keys whose objects say how positions turn queries and keys, in files of newer and older
// versions.
var ropeObjects = []string{"rope_parameters", "rope_scaling"}

// turning is a rotation without scaling of a share of each head.
func turning(c *net.Config, theta, share float64) net.Rope {
	r := net.Rope{Theta: theta}
	if share != 1 {
		r.Width = int(share * float64(widthOfHead(c)))
	}
	return r
}

func widthOfHead(c *net.Config) int { return c.WithDefaults().HeadWidth }

// scaled reads a rotation's own keys.
func scaled(k *keys, c *net.Config, theta, share float64, partial bool) net.Rope {
	if partial {
		share = take(k, "partial_rotary_factor", share)
	} else {
		must(k, "partial_rotary_factor", 1.0)
	}
	r := turning(c, take(k, "rope_theta", theta), share)
	kind := take(k, "type", "default")
	switch kind = take(k, "rope_type", kind); kind {
	case "default", "mrope":
		if kind != "default" {
			k.refuse("rope_type", kind)
		}
	case "dynamic": // scales what is longer than max_position_embeddings, which lmkit does not read
		take(k, "factor", 1.0)
	case "linear":
		r.Scaling, r.Factor = net.LinearScaling, take(k, "factor", 0.0)
	case "llama3":
		r.Scaling, r.Factor = net.Llama3Scaling, take(k, "factor", 0.0)
		r.Low, r.High = take(k, "low_freq_factor", 0.0), take(k, "high_freq_factor", 0.0)
		r.Original = take(k, "original_max_position_embeddings", c.Context)
	case "yarn":
		yarn(k, c, &r)
	case "longrope", "su":
		longRope(k, c, &r)
	default:
		k.refuse("rope_type", kind)
	}
	take(k, "original_max_position_embeddings", 0) // the others do not depend on it
	return r
}

// yarn reads YaRN (Peng et al., 2023). What turns is scaled as a whole, too, by attention_factor.
func yarn(k *keys, c *net.Config, r *net.Rope) {
	r.Scaling = net.YarnScaling
	r.Original = take(k, "original_max_position_embeddings", c.Context)
	r.Factor = take(k, "factor", float64(c.Context)/float64(max(1, r.Original)))
	r.Low, r.High = take(k, "beta_slow", 1.0), take(k, "beta_fast", 32.0)
	must(k, "truncate", true)
	whole := func(scale float64) float64 { return 0.1*scale*math.Log(max(1, r.Factor)) + 1 }
	r.Magnitude = whole(1)
	scale, all := take(k, "mscale", 0.0), take(k, "mscale_all_dim", 0.0)
	if scale != 0 && all != 0 {
		r.Magnitude = whole(scale) / whole(all)
	}
	r.Magnitude = take(k, "attention_factor", r.Magnitude)
}

// longRope reads LongRoPE (Ding et al., 2024): a divisor for each frequency, others in texts that are longer than
// those the model was first trained on. lmkit reads texts of up to that length, so that one text's numbers do not
// depend on those it is computed with.
func longRope(k *keys, c *net.Config, r *net.Rope) {
	original := take(k, "original_max_position_embeddings", c.Context)
	short := take(k, "short_factor", []float64(nil))
	if short == nil {
		k.errs = append(k.errs, "short_factor is missing, which longrope needs")
	}
	take(k, "long_factor", []float64(nil))
	factor := take(k, "factor", float64(c.Context)/float64(max(1, original)))
	r.Magnitude = 1
	if factor > 1 {
		r.Magnitude = math.Sqrt(1 + math.Log(factor)/math.Log(float64(original)))
	}
	r.Magnitude = take(k, "attention_factor", r.Magnitude)
	r.Divisors = divisors(short)
	c.Context = original
}

// divisors is the text by which a configuration holds them.
func divisors[T float32 | float64](list []T) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = strconv.FormatFloat(float64(x), 'g', -1, 64)
	}
	return strings.Join(texts, " ")
}

// ropeKeys are the keys of a rotation, spelled so that old and new versions of transformers read them.
func ropeKeys(c net.Config, partial bool) object {
	o := object{{"rope_theta", c.Rope.Theta}}
	if partial {
		o = append(o, member{"partial_rotary_factor", ropeShare(c)})
	}
	if s := scalingKeys(c, c.Rope); s != nil {
		o = append(o, member{"rope_scaling", s})
	}
	return o
}

// ropeShare is the share of a head that turns.
func ropeShare(c net.Config) float64 {
	if c.Rope.Width == 0 {
		return 1
	}
	share, K := float64(c.Rope.Width)/float64(c.HeadWidth), float64(c.HeadWidth)
	if int(share*K) < c.Rope.Width { // what reads it cuts off what is behind the point
		share = math.Nextafter(share, 2)
	}
	return share
}

// scalingKeys is what rope_scaling says of a rotation; nil: nothing.
func scalingKeys(c net.Config, r net.Rope) map[string]any {
	switch {
	case r.Divisors != "":
		list := json.RawMessage("[" + strings.ReplaceAll(r.Divisors, " ", ", ") + "]")
		return map[string]any{"rope_type": "longrope", "short_factor": list, "long_factor": list,
			"original_max_position_embeddings": c.Context, "attention_factor": r.Magnitude}
	case r.Scaling == net.LinearScaling:
		return map[string]any{"rope_type": "linear", "factor": r.Factor}
	case r.Scaling == net.Llama3Scaling:
		return map[string]any{"rope_type": "llama3", "factor": r.Factor, "low_freq_factor": r.Low,
			"high_freq_factor": r.High, "original_max_position_embeddings": r.Original}
	case r.Scaling == net.YarnScaling:
		return map[string]any{"rope_type": "yarn", "factor": r.Factor, "beta_slow": r.Low, "beta_fast": r.High,
			"original_max_position_embeddings": r.Original, "attention_factor": r.Magnitude}
	}
	return nil
}
