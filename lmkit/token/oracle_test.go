package token

import (
	"encoding/json"
	"testing"
)

// oracle is what testdata/oracle.py found with other implementations.
type oracle struct {
	Texts           []string
	Words           [][]string
	Char, Word, BPE struct {
		IDs     [][]ID
		Decoded []string
	}
	GPT2    [][]ID
	Trained []string
	Streams map[string]struct {
		GPT2     int
		GPT2Sum  string `json:"gpt2_sha256"`
		Words    int
		WordsSum string `json:"words_sha256"`
	}
	TrainedShakespeare string `json:"trained_shakespeare_sha256"`
}

func readOracle(t *testing.T) oracle {
	t.Helper()
	var o oracle
	if err := json.Unmarshal([]byte(readFile(t, "testdata/oracle.json")), &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Texts) == 0 || len(o.Streams) == 0 {
		t.Fatal("testdata/oracle.json is empty")
	}
	return o
}
