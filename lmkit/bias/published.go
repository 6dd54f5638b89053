package bias

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/strict"
)

// crowsPairs reads CrowS-Pairs (Nangia, Vania, Bhalerao and Bowman, CrowS-Pairs: a challenge dataset for measuring
// social biases in masked language models, 2020).
func crowsPairs(files []string, s *Suite) error {
	s.First, s.Second, s.Aim, s.Protocol = "more stereotyping", "less stereotyping", Wrong, Total
	s.Groupings, s.Clusters = []string{"bias type", "direction"}, "writer"
	s.Warnings = []string{
		"Many of the pairs are no valid test of a stereotype: sentences differ in more than the group, groups are not " +
			"comparable, sentences are ungrammatical (Blodgett et al., Stereotyping Norwegian salmon, 2021). Its authors " +
			"say themselves that it may not be a good indicator of bias.",
		"50 % means no preference only if the sentences of a pair are equally likely in all other respects: a more " +
			"frequent name or group is preferred without any stereotype.",
	}
	if len(files) > 1 {
		return fmt.Errorf("there are several files (%s): name one of them", bases(files))
	}
	return table(files[0], ',', func(line int, cell func(string) string) {
		more, less := cell("sent_more"), cell("sent_less")
		id := cell("")
		if id == "" {
			id = strconv.Itoa(line)
		}
		s.add(files[0], line, Pair{ID: id, First: more, Second: less, Cluster: cell("anon_writer"),
			Groups: []string{cell("bias_type"), cell("stereo_antistereo")}})
	}, s, "sent_more", "sent_less", "bias_type", "stereo_antistereo")
}

// winogender reads the Winogender schemas (Rudinger, Naradowsky, Leonard and Van Durme, Gender bias in coreference
// resolution, 2018): sentences that differ in a pronoun, and beside them the share of women in each occupation.
func winogender(files []string, s *Suite) error {
	s.First, s.Second, s.Protocol = "female", "male", Total
	s.Groupings, s.Clusters = []string{"refers to"}, "occupation"
	s.Warnings = []string{
		"The schemas were made to test which person a pronoun is taken for. Here the whole sentence with she is compared " +
			"with the one with he: read the correlation with the share of women in the occupation, and not the preference " +
			"alone, which depends on how frequent the two words are.",
		"The sentences with they are left out: it is a plural, too.",
	}
	if len(files) > 1 {
		return fmt.Errorf("there are several files (%s): name one of them", bases(files))
	}
	type variants struct {
		line         int
		female, male string
	}
	of := map[string]*variants{}
	var order []string
	err := table(files[0], '\t', func(line int, cell func(string) string) {
		name := strings.TrimSuffix(cell("sentid"), ".txt")
		at := strings.LastIndexByte(name, '.')
		if at < 0 || strings.Count(name, ".") != 3 {
			s.wrong(files[0], line, "has the ID %q, which is no occupation.participant.answer.gender", cell("sentid"))
			return
		}
		id, gender := name[:at], name[at+1:]
		if of[id] == nil {
			of[id] = &variants{line: line}
			order = append(order, id)
		}
		switch gender {
		case "female":
			of[id].female = cell("sentence")
		case "male":
			of[id].male = cell("sentence")
		}
	}, s, "sentid", "sentence")
	for _, id := range order {
		parts := strings.Split(id, ".")
		refers := "the occupation"
		if parts[2] == "1" {
			refers = "the participant"
		}
		v := of[id]
		s.add(files[0], v.line, Pair{ID: id, First: v.female, Second: v.male, Groups: []string{refers}, Cluster: parts[0]})
	}
	if err != nil {
		return err
	}
	return s.readWomen(filepath.Join(filepath.Dir(files[0]), "occupations-stats.tsv"))
}

// readWomen reads the share of women in each occupation, if the file is there.
func (s *Suite) readWomen(path string) error {
	s.Women = map[string]float64{}
	err := table(path, '\t', func(line int, cell func(string) string) {
		share, err := strconv.ParseFloat(cell("bls_pct_female"), 64)
		if err != nil || !(share >= 0 && share <= 100) {
			s.wrong(path, line, "has the share %q", cell("bls_pct_female"))
			return
		}
		s.Women[cell("occupation")] = share
	}, s, "occupation", "bls_pct_female")
	if errors.Is(err, fs.ErrNotExist) {
		s.Warnings = append(s.Warnings, "occupations-stats.tsv is not beside the sentences, so that the differences "+
			"are not compared with the share of women in the occupations.")
		return nil
	}
	return err
}

// blimp reads BLiMP (Warstadt et al., BLiMP: the benchmark of linguistic minimal pairs for English, 2020).
func blimp(files []string, s *Suite) error {
	s.First, s.Second, s.Aim, s.Protocol = "grammatical", "ungrammatical", Right, Total
	s.Groupings = []string{"paradigm", "phenomenon"}
	for _, file := range files {
		err := jsonLines(file, func(line int, text []byte) {
			var row struct {
				Good string `json:"sentence_good"`
				Bad  string `json:"sentence_bad"`
				Term string `json:"linguistics_term"`
				UID  string
				Pair json.RawMessage `json:"pairID"`
			}
			if err := json.Unmarshal(text, &row); err != nil {
				s.wrong(file, line, "is no JSON object with a sentence_good and a sentence_bad")
				return
			}
			if row.UID == "" {
				row.UID = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
			}
			id := strings.Trim(string(row.Pair), `"`)
			if id == "" {
				id = strconv.Itoa(line)
			}
			s.add(file, line, Pair{ID: row.UID + "." + id, First: row.Good, Second: row.Bad,
				Groups: []string{row.UID, row.Term}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stereoSet reads the sentences of StereoSet that have a blank (Nadeem, Bethke and Reddy, StereoSet: measuring
// stereotypical bias in pretrained language models, 2021). Its pairs of sentences one after the other are left out:
// they are scored by a head for next sentences, which a language model has not.
func stereoSet(files []string, s *Suite) error {
	s.First, s.Second, s.Aim, s.Protocol = "stereotype", "anti-stereotype", Wrong, Bits
	s.Groupings, s.Clusters = []string{"bias type"}, "target term"
	s.Warnings = []string{
		"Many of the pairs are no valid test of a stereotype (Blodgett et al., Stereotyping Norwegian salmon, 2021).",
		"Unrelated sentences are often ungrammatical, so that the language model score is near its top for any model.",
	}
	if len(files) > 1 {
		return fmt.Errorf("there are several files (%s): name one of them", bases(files))
	}
	type example struct {
		ID, Target string
		BiasType   string `json:"bias_type"`
		Sentences  []struct {
			Sentence string
			Label    string `json:"gold_label"`
		}
	}
	var all struct {
		Data *struct{ Intrasentence []json.RawMessage }
	}
	text, err := readWhole(files[0])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &all); err != nil || all.Data == nil {
		return fmt.Errorf(`%s is no JSON object {"data": {"intrasentence": [...]}}`, files[0])
	}
	for i, raw := range all.Data.Intrasentence {
		var e example
		if err := strict.Decode(raw, &e); err != nil {
			s.wrong(files[0], i+1, "(counted by examples) is no example: %s", err)
			continue
		}
		by := map[string]string{}
		for _, x := range e.Sentences {
			by[x.Label] = x.Sentence
		}
		if blank(by["unrelated"]) {
			s.wrong(files[0], i+1, "(counted by examples) has no unrelated sentence")
			continue
		}
		s.add(files[0], i+1, Pair{ID: e.ID, First: by["stereotype"], Second: by["anti-stereotype"],
			Unrelated: by["unrelated"], Groups: []string{e.BiasType}, Cluster: e.Target})
	}
	return nil
}

func bases(files []string) string {
	var names []string
	for _, f := range files[:min(4, len(files))] {
		names = append(names, filepath.Base(f))
	}
	if len(files) > 4 {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

// missing returns those of some columns that a header lacks.
func missing(head, columns []string) (lacks []string) {
	for _, c := range columns {
		if !slices.Contains(head, c) {
			lacks = append(lacks, c)
		}
	}
	return lacks
}
