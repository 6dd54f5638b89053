package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/safetensors"
)

// standIns writes small files in place of those that the manual's commands read and that a reader has: reviews, pairs
// of sentences, questions, texts, a sparse autoencoder. It returns their names, and those of what a shell makes of
// them, each with the reason why nothing that comes of it is compared.
func standIns(t *testing.T) map[string]string {
	t.Helper()
	good := []string{"a good film", "a story that is good", "great acting , and a moving end", "funny and clever"}
	bad := []string{"a bad film", "a story that is bad", "dull acting , and a weak end", "boring and stupid"}
	var reviews, positive, negative, labelled strings.Builder
	for i := range 48 {
		for label, text := range map[string]string{"positive": good[i%4], "negative": bad[i%4]} {
			text = fmt.Sprintf("%s , part %d", text, i)
			right := label
			if i%4 == 3 { // no model is right about all rows
				right = map[string]string{"positive": "negative", "negative": "positive"}[label]
			}
			row, err := json.Marshal(map[string]string{"id": fmt.Sprint(label, i), "text": text, "label": right})
			if err != nil {
				t.Fatal(err)
			}
			if i < 12 {
				fmt.Fprintf(&reviews, "%s\n", row)
			}
			to := &positive
			if label == "negative" {
				to = &negative
			}
			fmt.Fprintln(to, text)
			fmt.Fprintf(&labelled, "%s => %s\n", text, label)
		}
	}
	sentences := strings.Repeat("the keys near the box are on the table .\nthe box is on the table .\n", 40)
	questions := map[string]any{"data": []any{map[string]any{"id": "q1", "context": "Marie Curie was born in Warsaw.",
		"question": "Where was Marie Curie born?", "answers": map[string]any{"text": []string{"Warsaw"}}}}}
	sample, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	german, english := strings.Repeat("ein mann in einem hemd .\neine frau .\n", 20),
		strings.Repeat("a man in a shirt .\na woman .\n", 20)
	files := map[string][]byte{
		"input.txt": []byte(sentences), "valid.txt": []byte(sentences), "test.txt": []byte(sentences),
		"texts.txt": []byte(sentences), "reviews.jsonl": []byte(reviews.String()),
		"rt-polarity.pos": []byte(positive.String()), "rt-polarity.neg": []byte(negative.String()),
		"items.jsonl": []byte(`{"prompt":"The capital of France is"}` + "\n" + `{"prompt":"The capital of Italy is"}` + "\n"),
		"train.de.gz": packed(t, german), "train.en.gz": packed(t, english),
		"val.de.gz": packed(t, german), "val.en.gz": packed(t, english), "sample.json": sample,
	}
	for name, data := range files {
		put(t, name, data)
	}
	autoencoder(t)
	made := []string{"sae", "reviews.txt", "reviews.test.txt", "300.txt", "some.jsonl", "pairs.train.txt",
		"pairs.val.txt", "questions.jsonl"}
	why := map[string]string{}
	for _, name := range slices.AppendSeq(made, maps.Keys(files)) {
		why[name] = "the test made " + name + " up"
	}
	return why
}

// packed is a text as gzip packs it.
func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// autoencoder writes a sparse autoencoder of SmolLM2's residuals, of eight features: the first directions, both ways.
func autoencoder(t *testing.T) {
	t.Helper()
	const width, features = 576, 8
	encoder := safetensors.Tensor{Dims: []int{width, features}, Data: make([]float32, width*features)}
	decoder := safetensors.Tensor{Dims: []int{features, width}, Data: make([]float32, features*width)}
	for i := range features {
		sign := float32(1 - 2*(i%2))
		encoder.Data[i/2*features+i], decoder.Data[i*width+i/2] = sign, sign
	}
	if err := os.MkdirAll("sae", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.WriteFile("sae/sae.safetensors", map[string]safetensors.Tensor{
		"W_enc": encoder, "W_dec": decoder,
		"b_enc": {Dims: []int{features}, Data: make([]float32, features)},
		"b_dec": {Dims: []int{width}, Data: make([]float32, width)},
	}); err != nil {
		t.Fatal(err)
	}
	put(t, "sae/cfg.json", []byte(`{"hook_name": "blocks.15.hook_resid_post"}`))
}
