// Package token turns text into token IDs and back, and knows exactly which bytes of the text each token covers.
//
// There are three tokenizers, and one interface over them:
//
//   - [Char]: one token a character. Small vocabulary, long sequences.
//   - [Word]: torchtext's basic_english words, with <unk> for the rare ones. The classic word-level language model.
//   - [BPE]: byte-pair encoding, trained here ([TrainBPE]) or another model's: Llama, Mistral, Qwen, Gemma, SmolLM,
//     Phi, Pythia, OLMo, GPT-2.
//
// An [Encoding] carries the IDs together with spans that tile the text, so that a score that belongs to a token
// belongs to a known stretch of the text. [Words] and [Sentences] tile a text too; they are the groups that
// explanations are given for when single tokens are too fine.
//
// [Marshal] and [Unmarshal] keep a tokenizer in a tokenizer.json of the Hugging Face tokenizers format: what is
// written opens there and yields the same tokens, and a BPE from there opens here. [FromGGUF] takes what a GGUF file
// holds.
//
// What a person wrote is text: it never becomes a special token, such as <|im_end|>, unless [Options] say so.
package token
