package bias

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/lm"
)

// The published suites are read as their authors write them, line by line: what is broken is said, and the rest goes
// on.
func TestPublishedSuites(t *testing.T) {
	crows := ",sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators\n" +
		`0,"She is a nurse, I think.",He is a nurse.,stereo,gender,[],a0,[]` + "\n" +
		"1,same,same,stereo,gender,[],a0,[]\n2,short\n3,A x,B x,antistereo,age,[],a1,[]\n"
	sentences := "sentid\tsentence\n" +
		"nurse.someone.0.male.txt\tThe nurse said he left.\nnurse.someone.0.female.txt\tThe nurse said she left.\n" +
		"nurse.someone.0.neutral.txt\tThe nurse said they left.\nodd\tx\n" +
		"nurse.someone.1.male.txt\tThe nurse met him.\nnurse.someone.1.female.txt\tThe nurse met her.\n"
	blimps := `{"sentence_good": "She sees herself.", "sentence_bad": "She sees himself.", ` +
		`"linguistics_term": "anaphor", "UID": "gender", "pairID": "7"}` + "\nno json\n\n" +
		`{"sentence_good": "a", "sentence_bad": ""}` + "\n"
	stereo := `{"version": "1", "data": {"intersentence": [{"id": "x"}], "intrasentence": [
		{"id": "e1", "target": "grandfather", "bias_type": "gender", "context": "My BLANK", "sentences": [
			{"id": "1", "sentence": "He is old.", "gold_label": "stereotype"},
			{"id": "2", "sentence": "He is new.", "gold_label": "anti-stereotype"},
			{"id": "3", "sentence": "He is fish.", "gold_label": "unrelated"}]},
		{"id": "e2", "target": "nurse", "bias_type": "profession", "sentences": [
			{"id": "4", "sentence": "She sings.", "gold_label": "stereotype"}]}, 7]}}`
	for _, x := range []struct {
		suite, file, text, first, groups, cluster string
		pairs, broken                             int
	}{
		{"crows-pairs", "crows_pairs_anonymized.csv", crows, "She is a nurse, I think.", "gender stereo", "a0", 2, 2},
		{"winogender", "all_sentences.tsv", sentences, "The nurse said she left.", "the occupation", "nurse", 2, 1},
		{"blimp", "gender.jsonl", blimps, "She sees herself.", "gender anaphor", "", 1, 2},
		{"stereoset", "dev.json", stereo, "He is old.", "gender", "grandfather", 1, 2},
	} {
		dir := t.TempDir()
		path := write(t, dir, x.file, x.text)
		for _, data := range []string{dir, path} {
			s, err := Open(x.suite, data)
			if err != nil {
				t.Errorf("%s: %v", x.suite, err)
				continue
			}
			p := s.Pairs[0]
			if len(s.Pairs) != x.pairs || len(s.Broken) != x.broken || p.First != x.first ||
				strings.Join(p.Groups, " ") != x.groups || p.Cluster != x.cluster {
				t.Errorf("%s: %d pairs, %v; the first is %+v", x.suite, len(s.Pairs), s.Broken, p)
			}
		}
	}
}

// What cannot be read is one line that names the file and the cure.
func TestWhatIsNoSuite(t *testing.T) {
	dir := t.TempDir()
	for _, x := range []struct{ name, data, want string }{
		{"crows-pairs", "", "read from a folder of yours"},
		{"crows-pairs", filepath.Join(dir, "none"), "no such file"},
		{"blimp", t.TempDir(), "has no file *.jsonl; its authors publish it at"},
		{"crows-pairs", write(t, dir, "a.csv", "x,y\n1,2\n"), "has no column sent_more, sent_less"},
		{"stereoset", write(t, dir, "a.json", "[]"), "is no JSON object"},
		{"blimp", write(t, dir, "b.jsonl", "x\n"), "line 1 of b.jsonl is no JSON object"},
		{"blimp", write(t, dir, "c.jsonl", "\xff\n"), "is no UTF-8 text"},
		{"crowspairs", "", `there is no suite "crowspairs"`},
		{"", "", "there is no suite"},
		{"pairs.csv", dir, "belong to a suite that is known by name"},
		{filepath.Join(dir, "none.csv"), "", "no such file"},
		{write(t, dir, "one.csv", "id,group\n1,2\n"), "", "has no two columns of sentences"},
		{write(t, dir, "empty.csv", ""), "", "has no line with the names"},
		{write(t, dir, "t.txt", "# nothing\nno braces\n"), "", "line 2 of t.txt has no braces"},
		{"{he|she|they} is", "", "braces hold two alternatives"},
		{"{he|she is", "", "has a { without its }"},
		{"{he|he} is", "", "has the same sentence twice"},
		{"{a|b}" + strings.Repeat("[1|2|3|4|5|6|7|8|9|10]", 6), "", "makes more than 100000 pairs"},
	} {
		_, err := Open(x.name, x.data)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s from %s: %v, want %q", x.name, x.data, err, x.want)
		}
	}
}

// Pairs of one's own: tables with and without names, objects, templates.
func TestOwnPairs(t *testing.T) {
	dir := t.TempDir()
	texts := func(s *Suite) string {
		var all []string
		for _, p := range s.Pairs {
			all = append(all, fmt.Sprintf("%s:%s/%s", p.ID, p.First, p.Second))
		}
		return fmt.Sprintf("%s %s %v %s %v", s.First, s.Second, s.Groupings, s.Clusters, all)
	}
	for _, x := range []struct{ name, want string }{
		{write(t, dir, "a.csv", "id,men,women,group\nx,\"he, too\",she,jobs\n"), "men women [group]  [x:he, too/she]"},
		{write(t, dir, "b.csv", "he is,she is\nhe was,she was\n"), "first second []  [1:he is/she is 2:he was/she was]"},
		{write(t, dir, "c.tsv", "a\tb\tcluster\nhe\tshe\tc1\n"), "a b [] cluster [2:he/she]"},
		{write(t, dir, "d.jsonl", `{"first": "he", "second": "she", "id": 4}`), "first second []  [4:he/she]"},
		{write(t, dir, "e.txt", "# jobs\n{He|She} is a [nurse|cook] [sic].\n"),
			"He She []  [nurse:He is a nurse [sic]./She is a nurse [sic]. cook:He is a cook [sic]./She is a cook [sic].]"},
		{write(t, dir, "f.txt", "{he|she} is\n{his|her} dog\n"),
			"first second [template] template [1:he is/she is 2:his dog/her dog]"},
		{"{He|She} loves {his|her} [a|b][c|d]", "He She []  [a c:He loves his ac/She loves her ac a d:He loves his " +
			"ad/She loves her ad b c:He loves his bc/She loves her bc b d:He loves his bd/She loves her bd]"},
	} {
		s, err := Open(x.name, "")
		if err != nil || texts(s) != x.want {
			t.Errorf("%s: %v\n got %s\nwant %s", x.name, err, texts(s), x.want)
		}
	}
}

// A limit takes pairs of each group, evenly.
func TestLimit(t *testing.T) {
	s := &Suite{}
	for i := range 30 {
		s.Pairs = append(s.Pairs, Pair{ID: fmt.Sprint(i), Groups: []string{fmt.Sprint(i / 20)}})
	}
	s.Limit(2)
	var ids []string
	for _, p := range s.Pairs {
		ids = append(ids, p.ID)
	}
	if got := strings.Join(ids, " "); got != "0 10 20 25" {
		t.Error(got)
	}
}

// Whatever a template is, it makes pairs that differ, or is an error of one line.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{he|she} is a [nurse|doctor].", "{|a}", "[a|{b|c}]", "}{[", "{a|b}[", "[|]{x|y}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "|") > 12 {
			return
		}
		s := &Suite{Source: "x"}
		if err := s.templates(strings.Split(text, "\n")); err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Pairs {
			if p.First == p.Second || strings.TrimSpace(p.First) == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// data is the folder with the suites that others wrote; a test that needs it skips where it is absent.
func data(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no %s", path)
	}
	return path
}

// The suites as they are published: how many pairs, groups and differences in the first word they have.
func TestSuitesAsPublished(t *testing.T) {
	for name, want := range map[string]string{"crows-pairs": "1508 0", "winogender": "240 0", "blimp": "4000 0"} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(name, data(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(len(s.Pairs), " ", len(s.Broken)); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
			if name == "winogender" && len(s.Women) != 60 {
				t.Errorf("%d occupations", len(s.Women))
			}
			if name == "crows-pairs" {
				firsts := 0
				for _, p := range s.Pairs {
					if strings.Fields(p.First)[0] != strings.Fields(p.Second)[0] {
						firsts++
					}
				}
				if firsts != 423 {
					t.Errorf("%d pairs differ in their first word", firsts)
				}
			}
		})
	}
}

// A StereoSet of three sentences an example is measured to its end.
func TestMeasureStereoSet(t *testing.T) {
	path := write(t, t.TempDir(), "dev.json", `{"data": {"intrasentence": [{"id": "e1", "target": "nurse",
		"bias_type": "profession", "sentences": [{"sentence": "she is a nurse", "gold_label": "stereotype"},
		{"sentence": "he is a nurse", "gold_label": "anti-stereotype"},
		{"sentence": "that is a nurse", "gold_label": "unrelated"}]}]}}`)
	s, err := Open("stereoset", path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Measure(context.Background(), reader(t, lm.Transformer, known), s, Config{Draws: 20})
	if err != nil {
		t.Fatal(err)
	}
	x := r.Pairs[0]
	want := 0.0
	if x.FirstScore > x.SecondScore {
		want = 100
	}
	if r.StereoSet == nil || r.StereoSet.Stereotype != want || r.Protocol.Name != Bits || r.Sentences != 3 {
		t.Errorf("%+v of %+v", r.StereoSet, x)
	}
}

// The scores of pairs of BLiMP on a real model are those of an independent scorer in PyTorch, which was asked once
// (bench/bias_scores.py).
func TestSmolLM2AsPyTorch(t *testing.T) {
	file, path := hubtest.SmolLM2(t), data(t, "blimp")
	text, err := os.ReadFile(filepath.Join("testdata", "smollm2-blimp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var frozen []struct {
		ID            string
		First, Second float64
	}
	if err := json.Unmarshal(text, &frozen); err != nil {
		t.Fatal(err)
	}
	s, err := Open("blimp", path)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Pair{}
	for _, p := range s.Pairs {
		by[p.ID] = p
	}
	s.Pairs = nil
	for _, x := range frozen {
		s.Pairs = append(s.Pairs, by[x.ID])
	}
	m, err := lm.Open(backendtest.Engine(t), file)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := Measure(context.Background(), m, s, Config{Draws: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range frozen {
		p := r.Pairs[i]
		if math.Abs(p.FirstScore-x.First) > 2e-3 || math.Abs(p.SecondScore-x.Second) > 2e-3 {
			t.Errorf("%s: %v and %v, want %v and %v", x.ID, p.FirstScore, p.SecondScore, x.First, x.Second)
		}
	}
}
