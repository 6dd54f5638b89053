package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/lm"
)

// Autoencoder is a sparse autoencoder: a dictionary of directions, of which an activation x [D] is a sum of few. The
// activation of its features [F], and what they come to, are
//
//	z = act((x - shift) W_enc + b_enc)    x^ = z W_dec + b_dec
//
// where shift is b_dec or nothing, and act is relu(y), of the K largest alone where K is above 0; or y where it is
// above a threshold, and else 0.
type Autoencoder struct {
	Tap              lm.Tap    // the activation that it is of; "": its file does not say
	Encoder, Decoder lm.Array  // [D, F], [F, D]
	Bias             []float32 // b_enc [F]
	Offset           []float32 // b_dec [D]
	Shifted          bool      // b_dec is taken from the activation first
	Threshold        []float32 // [F]; nil: relu
	K                int
}

// Width is how many numbers the activation has.
func (a *Autoencoder) Width() int { return a.Encoder.Dims[0] }

// Features is how many features there are: a row each of the decoder.
func (a *Autoencoder) Features() int { return a.Encoder.Dims[1] }

// autoencoderConfig is what a file of settings says that changes the computation. Tools have named some of it in two
// ways.
type autoencoderConfig struct {
	Architecture string `json:"architecture"`
	K            int    `json:"k"`
	Function     string `json:"activation_fn"`
	FunctionOld  string `json:"activation_fn_str"`
	Arguments    struct {
		K int `json:"k"`
	} `json:"activation_fn_kwargs"`
	Shifted   *bool  `json:"apply_b_dec_to_input"`
	Normalise string `json:"normalize_activations"`
	Reshape   string `json:"reshape_activations"`
	Rescaled  bool   `json:"rescale_acts_by_decoder_norm"`
	Hook      string `json:"hook_name"`
	Metadata  struct {
		Hook string `json:"hook_name"`
	} `json:"metadata"`
}

// ReadAutoencoder reads a file of safetensors with W_enc, W_dec, b_enc, b_dec and, of jump functions, threshold; or a
// folder with such a file and cfg.json, which says what the file does not. Settings that would change the computation
// and are not known are an error that names them.
func ReadAutoencoder(path string) (*Autoencoder, error) {
	file, settings := path, filepath.Join(filepath.Dir(path), "cfg.json")
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		settings = filepath.Join(path, "cfg.json")
		files, err := filepath.Glob(filepath.Join(path, "*.safetensors"))
		if err != nil || len(files) != 1 {
			return nil, fmt.Errorf("%s has %d files of safetensors: name the one of the dictionary", path, len(files))
		}
		file = files[0]
	}
	all, err := safetensors.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var c autoencoderConfig
	data, err := os.ReadFile(settings)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := strict.Decode(data, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", settings, err)
		}
	}
	a, err := newAutoencoder(all, c)
	if err != nil {
		return nil, fmt.Errorf("the dictionary %s: %w", path, err)
	}
	return a, nil
}

// newAutoencoder checks tensors against each other, and settings against what is known.
func newAutoencoder(all map[string]safetensors.Tensor, c autoencoderConfig) (*Autoencoder, error) {
	function := cmp.Or(c.Function, c.FunctionOld)
	known := func(name, value string, of ...string) error {
		if value != "" && !slices.Contains(of, value) {
			return fmt.Errorf("its settings have %s %q, which is not known; known are %q", name, value, of)
		}
		return nil
	}
	if err := errors.Join(known("architecture", c.Architecture, "standard", "topk", "jumprelu"),
		known("activation_fn", function, "relu", "topk"), known("normalize_activations", c.Normalise, "none"),
		known("reshape_activations", c.Reshape, "none")); err != nil {
		return nil, err
	}
	if c.Rescaled {
		return nil, errors.New("its settings rescale the features: fold the factor into its weights first")
	}
	a := &Autoencoder{Tap: ownName(cmp.Or(c.Hook, c.Metadata.Hook)), Shifted: c.Shifted == nil || *c.Shifted,
		Threshold: all["threshold"].Data}
	if c.Architecture == "topk" || function == "topk" {
		if a.K = cmp.Or(c.K, c.Arguments.K); a.K < 1 {
			return nil, errors.New("it keeps the largest features, and its settings do not say how many (k)")
		}
	}
	if c.Architecture == "jumprelu" && a.Threshold == nil {
		return nil, errors.New("its features have thresholds, and its file no tensor threshold")
	}
	a.Encoder, a.Decoder = lm.Array(all["W_enc"]), lm.Array(all["W_dec"])
	a.Bias, a.Offset = all["b_enc"].Data, all["b_dec"].Data
	if len(a.Encoder.Dims) != 2 {
		return nil, errors.New("it has no matrix W_enc [D, F]")
	}
	D, F := a.Width(), a.Features()
	for name, dims := range map[string][]int{"W_dec": {F, D}, "b_enc": {F}, "b_dec": {D}, "threshold": {F}} {
		if t, has := all[name]; (has || name != "threshold") && !slices.Equal(t.Dims, dims) {
			return nil, fmt.Errorf("%s has shape %v, where W_enc [%d, %d] asks for %v", name, t.Dims, D, F, dims)
		}
	}
	if a.K > F {
		return nil, fmt.Errorf("it keeps the %d largest of %d features", a.K, F)
	}
	return a, nil
}

// hooked is how another tool names an activation: its layer, and what of it.
var hooked = regexp.MustCompile(`^blocks\.(\d+)\.hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out)$`)

// ownName is the name that lmkit has for an activation; "": it has none.
func ownName(hook string) lm.Tap {
	m := hooked.FindStringSubmatch(hook)
	if m == nil {
		return ""
	}
	return "block." + m[1] + "." + map[string]string{"resid_pre": "resid.pre", "resid_mid": "resid.mid",
		"resid_post": "resid.post", "attn_out": "attn.out", "mlp_out": "mlp.out"}[m[2]]
}

// Encode returns the features [N, F] of activations [N, D].
func (a *Autoencoder) Encode(x lm.Array) lm.Array {
	N, D, F := x.Dims[0], a.Width(), a.Features()
	in := slices.Clone(x.Data)
	if a.Shifted {
		for i := range in {
			in[i] -= a.Offset[i%D]
		}
	}
	z := lm.Array{Dims: []int{N, F}, Data: make([]float32, N*F)}
	for i := range z.Data {
		z.Data[i] = a.Bias[i%F]
	}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(N, D, D, in), general(D, F, F, a.Encoder.Data), 1,
		general(N, F, F, z.Data))
	for n := range N {
		a.act(z.Index(n).Data)
	}
	return z
}

// act applies the activation function to the features of one activation, in place.
func (a *Autoencoder) act(y []float32) {
	least := float32(0)
	if a.K > 0 {
		sorted := slices.Clone(y)
		slices.Sort(sorted)
		least = sorted[len(sorted)-a.K]
	}
	for i, v := range y {
		if v <= 0 || v < least || a.Threshold != nil && v <= a.Threshold[i] {
			y[i] = 0
		}
	}
}

// Decode returns what features [N, F] come to [N, D].
func (a *Autoencoder) Decode(z lm.Array) lm.Array {
	N, D, F := z.Dims[0], a.Width(), a.Features()
	x := lm.Array{Dims: []int{N, D}, Data: make([]float32, N*D)}
	for i := range x.Data {
		x.Data[i] = a.Offset[i%D]
	}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(N, F, F, z.Data), general(F, D, D, a.Decoder.Data), 1,
		general(N, D, D, x.Data))
	return x
}
