// Package kind says what a file that lmkit does not read is, by its first bytes or its name, and what to do about it.
package kind

import (
	"bytes"
	"path/filepath"
	"strings"
)

// Head is how many bytes of a file [Of] looks at.
const Head = 512

// Of says what a file is that begins with head, and what to do about it, as in "it is a pickle: ...". It is "" for
// bytes that it does not know.
func Of(head []byte) string {
	for _, k := range kinds {
		if len(head) >= k.at+len(k.first) && string(head[k.at:k.at+len(k.first)]) == k.first {
			return k.is
		}
	}
	page := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head[:min(len(head), Head)], []byte("\xef\xbb\xbf"))))
	if bytes.HasPrefix(page, []byte("<!doctype html")) || bytes.HasPrefix(page, []byte("<html")) {
		return "it is a web page: the download went wrong, fetch the file itself"
	}
	if len(head) > 9 && head[8] == '{' && bytes.Equal(head[4:8], []byte{0, 0, 0, 0}) {
		return "it is a safetensors file: give the folder that it is in, with its config.json"
	}
	return ""
}

const (
	save   = "load it where it came from, and save it as safetensors (save_pretrained, or safetensors.torch.save_file)"
	pickle = "a pickle can run programs, so it is never opened: " + save
)

// kinds are what files begin with. The numbers of llm.c are little-endian.
var kinds = []struct {
	at    int
	first string
	is    string
}{
	{0, "version https://git-lfs", "it is a pointer of Git LFS in place of the file: fetch that with git lfs pull"},
	{0, "\x80\x02", "it is a pickle: " + pickle},
	{0, "\x80\x03", "it is a pickle: " + pickle},
	{0, "\x80\x04", "it is a pickle: " + pickle},
	{0, "\x80\x05", "it is a pickle: " + pickle},
	{0, "PK\x03\x04", "it is a ZIP archive, as torch.save writes it: " + pickle},
	{0, "\x89HDF\r\n\x1a\n", "it is an HDF5 file: " + save},
	{0, "\x93NUMPY", "it is an array of NumPy: write its numbers alone, with tofile"},
	{0, "GGUF", "it is a GGUF file: give its path as the model"},
	{0, "lmgg", "it is a GGML file from before GGUF: convert the model again"},
	{0, "fmgg", "it is a GGML file from before GGUF: convert the model again"},
	{0, "tjgg", "it is a GGML file from before GGUF: convert the model again"},
	{0, "algg", "it is a file of an adapter, not of a whole model: merge it into its model"},
	{0, "\xc6\xd7\x34\x01", "it is a model of llm.c: " + save},
	{0, "MMIDIDX", "it is an index of Megatron's tokens: write the IDs alone, one after another"},
	{0, "PAR1", "it is a Parquet file: write its text to a text file"},
	{0, "\x1f\x8b", "it is compressed with gzip: unpack it first"},
	{0, "\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it first"},
	{0, "\xfd7zXZ\x00", "it is compressed with xz: unpack it first"},
	{0, "BZh", "it is compressed with bzip2: unpack it first"},
	{0, "7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it first"},
	{257, "ustar", "it is a tar archive: unpack it first"},
	{4, "TFL3", "it is a model of TensorFlow Lite: " + save},
}

// beside are files that stand beside weights and hold none.
var beside = []string{"training_args.", "optimizer.", "scheduler.", "scaler.", "rng_state", "tokenizer", "meta."}

// Weights says what to do about a file that by its name holds weights which lmkit does not open. It is "" for other
// names.
func Weights(name string) string {
	name = strings.ToLower(name)
	for _, start := range beside {
		if strings.HasPrefix(name, start) {
			return ""
		}
	}
	switch end := filepath.Ext(name); {
	case strings.HasPrefix(name, "adapter_model."):
		return "an adapter is not a whole model: merge it into its model (PEFT: merge_and_unload), and save that"
	case strings.HasSuffix(name, ".safetensors.index.json"):
		return "rename it to model.safetensors.index.json"
	case end == ".safetensors" && strings.Contains(name, "-of-"):
		return "a part of a model needs the index model.safetensors.index.json, which was beside it"
	case name == "model.safetensors":
		return "config.json belongs beside it, which says what its numbers are"
	case end == ".safetensors":
		return "rename it to model.safetensors if it holds the weights"
	case end == ".gguf":
		return "give the path of that file in place of the folder's"
	case strings.Contains(end, "ckpt"), strings.Contains(name, ".ckpt."), strings.Contains(name, ".ckpt-"):
		return "it is a checkpoint of TensorFlow or a pickle: " + pickle
	case oneOf(end, ".bin .pt .pth .pkl .pickle .joblib .distcp .mar .nemo"):
		return pickle
	case oneOf(end, ".h5 .hdf5 .keras .msgpack .onnx .ot .npz .npy .pb .tflite .mlmodel .pdparams .params .t7 .ggml"):
		return "lmkit does not read such files: " + save
	}
	return ""
}

func oneOf(end, list string) bool {
	for _, e := range strings.Fields(list) {
		if e == end {
			return true
		}
	}
	return false
}
