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

// modules are other names that PyTorch programs give the three modules.
var modules = map[string]string{
	"encoder": "embed", "embedding": "embed", "embeddings": "embed", "emb": "embed", "word_embeddings": "embed",
	"rnn":     "lstm",
	"decoder": "linear", "fc": "linear", "out": "linear", "output": "linear", "head": "linear", "lm_head": "linear",
}

// Name implements Format.
func (lstm) Name(tensor string) string {
	name := bare(tensor)
	module, rest, _ := strings.Cut(name, ".")
	if same, ok := modules[module]; ok {
		return same + "." + rest
	}
	return name
}
