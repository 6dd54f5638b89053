package format

import (
	"strings"

	"lmkit.internal/lmkit/internal/net"
)

// lstm is PyTorch's word language model: nn.Embedding, nn.LSTM, nn.Linear.
type lstm struct{}

func (lstm) Read(config []byte) (net.Config, error) {
	k := readKeys(config)
	return k.config(net.Config{
		Arch:    net.LSTM,
		Vocab:   take(k, "vocab_size", 0),
		Width:   take(k, "embed_size", 0),
		Hidden:  take(k, "hidden_size", 0),
		Layers:  take(k, "num_layers", 0),
		Dropout: take(k, "dropout", 0.0),
		Tied:    take(k, "tie_word_embeddings", false),
	})
}

func (lstm) Write(c net.Config) ([]byte, error) {
	return object{
		{"model_type", "lstm"},
		{"vocab_size", c.Vocab},
		{"tie_word_embeddings", c.Tied},
		{"embed_size", c.Width},
		{"hidden_size", c.Hidden},
		{"num_layers", c.Layers},
		{"dropout", c.Dropout},
	}.json()
}

func (lstm) Rules(c net.Config) []Rule {
	return expand(c, []Rule{
		{Param: "embed", Tensor: "embed"},
		{Param: "lstm.*.input.weight", Tensor: "lstm.weight_ih_l*"},
		{Param: "lstm.*.hidden.weight", Tensor: "lstm.weight_hh_l*"},
		{Param: "lstm.*.input.bias", Tensor: "lstm.bias_ih_l*"},
		{Param: "lstm.*.hidden.bias", Tensor: "lstm.bias_hh_l*"},
		{Param: "head", Tensor: "linear"},
	})
}

// Name knows the attributes that PyTorch's examples call the three modules.
func (lstm) Name(tensor string) string {
	for _, other := range [][2]string{{"encoder.", "embed."}, {"embedding.", "embed."}, {"rnn.", "lstm."},
		{"decoder.", "linear."}, {"fc.", "linear."}} {
		if rest, ok := strings.CutPrefix(tensor, other[0]); ok {
			return other[1] + rest
		}
	}
	return tensor
}
