package token

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFilesAreReadByTheirFormatsLibrary(t *testing.T) {
	c, w, b := fixtures(t)
	golden(t, "char.json", must(Marshal(c)))
	golden(t, "word.json", must(Marshal(w)))
	golden(t, "bpe.json", must(Marshal(b)))
	o := readOracle(t)
	for _, test := range []struct {
		tok     Tokenizer
		ids     [][]ID
		decoded []string
	}{{c, o.Char.IDs, o.Char.Decoded}, {w, o.Word.IDs, o.Word.Decoded}, {b, o.BPE.IDs, o.BPE.Decoded}} {
		for i, text := range o.Texts {
			e := must(EncodeWith(test.tok, text, Options{Special: true}))
			if !slices.Equal(e.IDs, test.ids[i]) {
				t.Errorf("%T: %q: IDs %v, want %v", test.tok, text, e.IDs, test.ids[i])
			}
			if got := must(test.tok.Decode(e.IDs)); got != test.decoded[i] {
				t.Errorf("%T: %q: decoded %q, want %q", test.tok, text, got, test.decoded[i])
			}
		}
	}
}

func TestFileRoundTrip(t *testing.T) {
	c, w, b := fixtures(t)
	for _, tok := range []Tokenizer{c, w, b, must(NewChar("<>&\u2028\\\"\x00")),
		must(TrainBPE(t.Context(), one("x"), 256))} {
		data := must(Marshal(tok))
		back, err := Unmarshal(data)
		if err != nil {
			t.Fatalf("%T: %v", tok, err)
		}
		if again := must(Marshal(back)); !bytes.Equal(again, data) {
			t.Errorf("%T: the file changes when it is read and written", tok)
		}
		for id := range ID(tok.Size()) {
			if back.Token(id) != tok.Token(id) {
				t.Errorf("%T: token %d was %q, is %q", tok, id, tok.Token(id), back.Token(id))
			}
		}
		wantID, want := tok.Unknown()
		if id, ok := back.Unknown(); id != wantID || ok != want {
			t.Errorf("%T: unknown was %d, %v, is %d, %v", tok, wantID, want, id, ok)
		}
	}
}

// gpt2File is a small tokenizer.json in the layout of GPT-2's own.
const gpt2File = `{"version":"1.0","truncation":null,"padding":null,"added_tokens":[
{"id":4,"special":true,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":true}],
"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true},
"post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true},
"model":{"dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,
"vocab":{"a":0,"b":1,"Ġ":2,"Ġa":3,"<|endoftext|>":4},"merges":["Ġ a"]}}`

func TestReadsGPT2sOwnForm(t *testing.T) {
	for _, file := range []string{
		gpt2File,
		strings.ReplaceAll(gpt2File, `["Ġ a"]`, `[["Ġ","a"]]`),
		strings.ReplaceAll(gpt2File, `"model":{`, `"model":{"type":"BPE",`),
		strings.ReplaceAll(gpt2File, `,"<|endoftext|>":4}`, `}`),
	} {
		tok, err := Unmarshal([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		e := must(EncodeWith(tok, "b a<|endoftext|>a", Options{Special: true}))
		if want := []ID{1, 3, 4, 0}; !slices.Equal(e.IDs, want) {
			t.Errorf("IDs %v, want %v", e.IDs, want)
		}
		if _, err := tok.Encode("bé"); err == nil || !strings.Contains(err.Error(), "byte 0xC3 at offset 1") {
			t.Errorf("a byte outside the vocabulary: %v", err)
		}
	}
}

func TestGPT2FileRoundTrip(t *testing.T) {
	b := loadGPT2(t)
	back := must(Unmarshal(must(Marshal(b))))
	if !reflect.DeepEqual(back, b) {
		t.Error("GPT-2's tokenizer changes when it is written and read")
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	c, w, _ := fixtures(t)
	char, word := string(must(Marshal(c))), string(must(Marshal(w)))
	for _, test := range []struct{ file, old, new, want string }{
		{"", "", "", "unexpected end"},
		{"[]", "", "", "expected an object, found an array"},
		{"{}", "", "", "no model"},
		{gpt2File, `"1.0"`, `"2.0"`, `version "2.0"`},
		{gpt2File, `"normalizer":null`, `"normalizer":{"type":"NFKC"}`,
			`normalizer {"type":"NFKC"} is not supported: lmkit reads NFC, Prepend, Replace`},
		{gpt2File, `"normalizer":null`, `"normalizer":{"type":"Replace","pattern":{"Regex":" "},"content":""}`,
			`normalizer {"type":"Replace"`},
		{gpt2File, `"normalizer":null`,
			`"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}`,
			`normalizer {"type":"Lowercase"}`},
		{gpt2File, `"type":"ByteLevel","add_prefix_space":false`, `"type":"ByteLevel","add_prefix_space":true`,
			"add_prefix_space false"},
		{gpt2File, `"type":"ByteLevel","add_prefix_space":false`, `"type":"Whitespace"`,
			`pre_tokenizer {"type":"Whitespace"`},
		{gpt2File, `"type":"ByteLevel","add_prefix_space":false`, `"type":"Metaspace"`, `pre_tokenizer {"type":"Metaspace"`},
		{gpt2File, `"type":"ByteLevel","add_prefix_space":false`, `"type":"Metaspace","replacement":"▁"`,
			`decoder {"type":"ByteLevel"`},
		{gpt2File, `"add_prefix_space":false,`, `"add_prefix_space":false,"use_regexp":false,`, "use_regexp"},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true}`,
			`{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"}`, `pre_tokenizer {"type":"Split"`},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true}`,
			`{"type":"Split","pattern":{"Regex":"a"},"behavior":"Apart"}`, `pre_tokenizer {"type":"Split"`},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true}`,
			`{"type":"Split","pattern":{"String":""},"behavior":"Isolated"}`, `pre_tokenizer {"type":"Split"`},
		{gpt2File, `"pre_tokenizer":{`,
			`"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]},"was":{`,
			"ByteLevel as the last one"},
		{gpt2File, `"pre_tokenizer":{`, `"pre_tokenizer":{"type":"Sequence","pretokenizers":7},"was":{`, "pretokenizers"},
		{gpt2File, `"decoder":{"type":"ByteLevel"`, `"decoder":{"type":"Fuse"`, "decoder"},
		{gpt2File, `"post_processor":{"type":"ByteLevel"`, `"post_processor":{"type":"TemplateProcessing"`, "post_processor"},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false}`,
			`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],` +
				`"special_tokens":{}}`, "post_processor"},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false}`,
			`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],` +
				`"special_tokens":{"<s>":{"ids":[5]}}}`, "token 5 is outside the vocabulary of 5"},
		{gpt2File, `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false}`, `{"type":"RobertaProcessing"}`,
			`post_processor {"type":"RobertaProcessing"}`},
		{gpt2File, `"content":"<|endoftext|>"`, `"content":""`, "empty"},
		{gpt2File, `"content":"<|endoftext|>"`, `"content":"a"`, "added token \"a\" has ID 4, but 0"},
		{gpt2File, `"model":{`, `"model":{"type":"Unigram",`, `model type "Unigram"`},
		{gpt2File, `"dropout":null`, `"dropout":0.1`, "dropout 0.1"},
		{gpt2File, `"fuse_unk":false`, `"byte_fallback":true,"ignore_merges":true`, "byte_fallback true"},
		{gpt2File, `"end_of_word_suffix":""`, `"end_of_word_suffix":"</w>"`, "end_of_word_suffix </w>"},
		{gpt2File, `"continuing_subword_prefix":""`, `"continuing_subword_prefix":"##"`, "continuing_subword_prefix ##"},
		{gpt2File, `"fuse_unk":false`, `"fuse_all":true`, "fuse_all"},
		{gpt2File, `"unk_token":null`, `"unk_token":"?"`, "unk_token \"?\" is not in the vocabulary"},
		{gpt2File, `"unk_token":null`, `"unk_token":"a"`, "0x00"},
		{gpt2File, `"a":0`, `"a":9`, "has ID 9"},
		{gpt2File, `"a":0`, `"a":1`, "share ID 1"},
		{gpt2File, `"a":0`, `"a":-1`, "has ID -1"},
		{gpt2File, `"b":1`, `"":1`, "token 1 is empty"},
		{gpt2File, `"b":1`, `"灯":1`, "not a character of the byte-level alphabet"},
		{gpt2File, `["Ġ a"]`, `["Ġ a", "Ġ a"]`, "list each merge once"},
		{gpt2File, `["Ġ a"]`, `["a b"]`, "the vocabulary lacks"},
		{gpt2File, `["Ġ a"]`, `["Ġa"]`, "one space between"},
		{gpt2File, `["Ġ a"]`, `[["Ġ"]]`, "a merge is two tokens"},
		{char, `"normalizer": null`, `"normalizer": {"type":"Lowercase"}`, `normalizer {"type":"Lowercase"}`},
		{char, `"type": "Fuse"`, `"type": "WordPiece"`, `decoder {"type":"WordPiece"}`},
		{char, `"Isolated"`, `"Removed"`, "pre_tokenizer"},
		{char, `"added_tokens": []`, `"added_tokens": [{"id":0,"content":"x"}]`, `added token "x"`},
		{char, `"post_processor": null`, `"post_processor": {"type":"BertProcessing"}`, "post_processor"},
		{word, `"Lowercase"`, `"NFKC"`, "basic_english"},
		{word, `"decoder": null`, `"decoder": {"type":"Fuse"}`, "decoder"},
		{word, `"unk_token": "<unk>"`, `"unk_token": "nope"`, `unk_token "nope"`},
		{word, `"<unk>": 0`, `"<unk>": 1000000000`, "has ID 1000000000"},
		{word, `"<unk>": 0`, `"<unk>": 0, "\u003cunk>": 0`, `"<unk>" is there twice`},
		{word, `"unk_token"`, `"unk_token": "x", "unk_token"`, `"unk_token" is there twice`},
	} {
		if !strings.Contains(test.file, test.old) {
			t.Fatalf("%q is not in the file", test.old)
		}
		tok, err := Unmarshal([]byte(strings.Replace(test.file, test.old, test.new, 1)))
		if err == nil || tok != nil || !strings.HasPrefix(err.Error(), "tokenizer.json: ") ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s -> %s: error %v, want %q", test.old, test.new, err, test.want)
		}
	}
}

// Settings of a call, which a file may hold, do not change what a text's tokens are.
func TestSettingsOfACallArePassedOver(t *testing.T) {
	plain := must(Unmarshal([]byte(gpt2File)))
	_, w, _ := fixtures(t)
	for _, file := range []string{gpt2File, string(must(Marshal(w)))} {
		for _, setting := range []string{
			`"truncation":{"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0}`,
			`"padding":{"strategy":{"Fixed":9},"direction":"Left","pad_to_multiple_of":8,"pad_id":0,"pad_type_id":0,` +
				`"pad_token":"a"}`,
		} {
			name, _, _ := strings.Cut(setting, ":")
			with := strings.Replace(strings.Replace(file, name+": null", name+":null", 1), name+":null", setting, 1)
			if !strings.Contains(with, setting) {
				t.Fatalf("%s was not set", name)
			}
			tok, err := Unmarshal([]byte(with))
			if err != nil {
				t.Fatal(err)
			}
			if file == gpt2File && !reflect.DeepEqual(tok, plain) {
				t.Errorf("%s changes the tokenizer", setting)
			}
			if e := must(tok.Encode("a b ab a b")); len(e.IDs) < 4 || len(e.IDs) > 8 {
				t.Errorf("%s: %d tokens", setting, len(e.IDs))
			}
		}
	}
}

func TestLoadGPT2Refuses(t *testing.T) {
	const encoder, merges = `{"a":0,"b":1,"ab":2}`, "#version: 0.2\na b\n"
	if b, err := LoadGPT2(strings.NewReader(encoder), strings.NewReader(merges)); err != nil ||
		!slices.Equal(must(b.Encode("abb")).IDs, []ID{2, 1}) {
		t.Errorf("a small vocabulary: %v", err)
	}
	for _, test := range []struct{ encoder, merges, want string }{
		{"", merges, "encoder.json"},
		{encoder, "#version: 0.2\na b\nab\n", "vocab.bpe: line 3: merge \"ab\""},
		{`{"a":0,"b":1}`, merges, "merge 1"},
		{`{"a":0,"b":7,"ab":2}`, merges, "has ID 7"},
	} {
		if _, err := LoadGPT2(strings.NewReader(test.encoder), strings.NewReader(test.merges)); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: error %v, want %q", test.encoder, test.merges, err, test.want)
		}
	}
}

func TestMarshalRefusesOtherTokenizers(t *testing.T) {
	type other struct{ *Char }
	if _, err := Marshal(other{}); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("error %v", err)
	}
}

// charactersFile is a small vocabulary of characters in Llama 2's form, patternFile one of bytes with a pattern of
// its own.
const (
	charactersFile = `{"version":"1.0","added_tokens":[{"id":0,"content":"<unk>","special":true},
{"id":1,"content":"<s>","special":true,"rstrip":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":"▁"},
{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
"special_tokens":{"<s>":{"ids":[1]}}},
"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"fuse_unk":true,
"vocab":{"<unk>":0,"<s>":1,"<0xC3>":2,"<0xA9>":3,"▁":4,"a":5,"b":6,"▁a":7},"merges":["▁ a"]}}`
	patternFile = `{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Sequence","pretokenizers":[
{"type":"Digits","individual_digits":true},
{"type":"Split","pattern":{"Regex":"\\s?[a-z]+(?!b)"},"behavior":"MergedWithNext","invert":false},
{"type":"ByteLevel","use_regex":false}]},
"decoder":{"type":"ByteLevel"},
"model":{"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"Ġ":2,"Ġa":3},"merges":["Ġ a"]}}`
)

// forgetRegexps takes the compiled patterns out of a tokenizer: they cannot be compared. The patterns stay.
func forgetRegexps(t Tokenizer) {
	if b, ok := t.(*BPE); ok {
		for i := range b.splits {
			b.splits[i].find.regexp = nil
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, tok := range []Tokenizer{ // small: the fuzzer is slow with large seeds
		must(NewChar("ab")), must(must(NewChar("a")).WithUnknown("<unk>")), must(NewWord(one("a b"), WordConfig{})),
	} {
		f.Add(must(Marshal(tok)))
	}
	f.Add([]byte(gpt2File))
	f.Add([]byte(strings.ReplaceAll(gpt2File, `["Ġ a"]`, `[["Ġ","a"]]`)))
	f.Add([]byte(charactersFile))
	f.Add([]byte(patternFile))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Unmarshal(data)
		if err != nil {
			return
		}
		for _, o := range []Options{{}, {Special: true}, {Bare: true}} {
			if e, err := EncodeWith(tok, "b a<|endoftext|>é\n", o); err == nil {
				checkTiling(t, e)
			}
		}
		back, err := Unmarshal(must(Marshal(tok)))
		if err != nil {
			t.Fatalf("a file that was read and written is refused: %v", err)
		}
		forgetRegexps(tok)
		forgetRegexps(back)
		if !reflect.DeepEqual(back, tok) {
			t.Fatal("the tokenizer changes when it is written and read")
		}
	})
}

func FuzzEncode(f *testing.F) {
	c, w, b := fixtures(f)
	for _, text := range []string{"", "The keeper's  lamp\n", "\"İ\" <br />", "😀<|endoftext|>\u0085", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range []Tokenizer{c, w, b} {
			e, err := tok.Encode(text)
			if err != nil {
				if checkUTF8(text) == nil {
					t.Fatalf("%T: %v", tok, err)
				}
				continue
			}
			checkTiling(t, e)
			if back := must(tok.Decode(e.IDs)); tok == Tokenizer(b) && back != text {
				t.Fatalf("%q decodes to %q", text, back)
			}
		}
		if checkUTF8(text) == nil && !slices.Equal(pretokens(text), referencePretokens(text)) {
			t.Fatalf("%q: pre-tokens differ from the pattern", text)
		}
	})
}

// A pattern that takes for ever is an error, not a standstill.
func TestPatternThatTakesForEver(t *testing.T) {
	file := strings.Replace(patternFile, `\\s?[a-z]+(?!b)`, `(a+)+$`, 1)
	tok := must(Unmarshal([]byte(file))).(*BPE)
	for i := range tok.splits {
		if re := tok.splits[i].find.regexp; re != nil {
			re.MatchTimeout = re.MatchTimeout / 50
		}
	}
	if _, err := tok.Encode(strings.Repeat("a", 60) + "b"); err == nil || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("error %v", err)
	}
}
