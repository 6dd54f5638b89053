package lm

import (
	"errors"
	"fmt"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// Sampling says how a decoder chooses the next token of each row. The zero value takes the most likely token. Of
// equally likely ones, the lower ID is before the higher.
//
// The filters apply in this order: temperature, TopK, TopP.
type Sampling struct {
	Temperature float64 // logits are divided by it; 0: greedy, the most likely token
	TopK        int     // choose among the k most likely tokens; 0: all
	TopP        float64 // then among the fewest of these with this share of the probability (nucleus); 0 and 1: all

	// Draw returns the uniform number in [0, 1) that picks a row's token after n pushes. The tokens that the filters
	// leave are laid end to end in the order of their IDs, each as wide as its probability; the one under the number is
	// taken.
	Draw func(row, n int) float64
}

// Choice is a token that a decoder chose.
type Choice struct {
	ID      token.ID
	LogProb float64 // by the model, in nats, before temperature and filters; NaN where not all the logits are finite
}

// Validate reports every setting that makes no sense.
func (s Sampling) Validate() error {
	var errs []error
	if !(s.Temperature >= 0) || s.Temperature*0 != 0 {
		errs = append(errs, fmt.Errorf("the temperature is %v: give 0 (greedy) or a positive number", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k is %d: give 1 or more, or 0 for all tokens", s.TopK))
	}
	if !(s.TopP >= 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p is %v: give a share between 0 and 1; 0 and 1 are all tokens", s.TopP))
	}
	if s.Temperature > 0 && s.Draw == nil {
		errs = append(errs, errors.New("a temperature needs numbers to draw by: give Draw"))
	}
	return errors.Join(errs...)
}

// reduced leaves out what changes nothing in a vocabulary of V.
func (s Sampling) reduced(V int) Sampling {
	if s.Temperature == 0 {
		return Sampling{}
	}
	if s.TopK >= V {
		s.TopK = 0
	}
	if s.TopP == 1 {
		s.TopP = 0
	}
	return s
}

// choice is what a program is compiled for. The numbers are given as it runs.
func (s Sampling) choice() net.Choice {
	return net.Choice{Random: s.Temperature > 0, TopK: s.TopK > 0, TopP: s.TopP > 0}
}

// numbers returns the settings by their names in a program, as far as it takes them.
func (s Sampling) numbers() map[string]float32 {
	xs := map[string]float32{}
	if s.Temperature > 0 {
		xs[net.Heat] = float32(min(max(s.Temperature, 1e-30), 1e30)) // what is finite in float32, as is its reciprocal
	}
	if s.TopK > 0 {
		xs[net.FilterK] = float32(s.TopK)
	}
	if s.TopP > 0 {
		xs[net.FilterP] = float32(s.TopP)
	}
	return xs
}
