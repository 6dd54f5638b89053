package kind

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Each kind is known by its first bytes, whatever follows; and other bytes are of no kind.
func TestOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(kinds).Draw(t, "kind")
		head := []byte(strings.Repeat("ab\x00", Head/3)) // which begins as none of them
		copy(head[k.at:], k.first)
		head = append(head[:k.at+len(k.first)], rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "more")...)
		if got := Of(head); got != k.is {
			t.Fatalf("%q is said of what begins with %q, want %q", got, k.first, k.is)
		}
		if cut := head[:k.at+len(k.first)-1]; Of(cut) != "" {
			t.Fatalf("%q is said to be %q", cut, Of(cut))
		}
	})
	for head, want := range map[string]string{
		"\xef\xbb\xbf\n <!DOCTYPE HTML><p>": "a web page", "<html lang=en>": "a web page",
		"\x10\x01\x00\x00\x00\x00\x00\x00{\"a\"": "a safetensors file", "": "",
	} {
		if got := Of([]byte(head)); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q is %q, want %q", head, got, want)
		}
	}
}

// What is said fits into a line.
func TestLines(t *testing.T) {
	said := []string{}
	for _, k := range kinds {
		said = append(said, k.is)
	}
	for _, name := range []string{
		"pytorch_model.bin", "PYTORCH_MODEL.BIN", "pytorch_model-00001-of-00002.bin", "model.pt", "model.PTH", "weights.pkl",
		"tf_model.h5", "flax_model.msgpack", "model.onnx", "rust_model.ot", "last.ckpt", "model.ckpt-1000.meta",
		"model.ckpt.data-00000-of-00001", "epoch=3.ckpt", "weights.npz", "model.keras", "model.tflite", "saved_model.pb",
		"q4.gguf", "adapter_model.safetensors", "adapter_model.bin", "model-00001-of-00002.safetensors",
		"other.safetensors", "other.safetensors.index.json",
	} {
		cure := Weights(name)
		if cure == "" {
			t.Errorf("nothing is said about %s", name)
		}
		said = append(said, cure)
	}
	for _, s := range said {
		if len(s) > 250 || strings.ContainsAny(s, "\n\r") || !utf8.ValidString(s) {
			t.Errorf("%q", s)
		}
	}
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "README.md",
		"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "meta.pkl", "loss.svg", ""} {
		if got := Weights(name); got != "" {
			t.Errorf("%s is said to hold weights: %s", name, got)
		}
	}
}
