package strict

import (
	"encoding/json"
	"fmt"
)

// Once returns an error if an object in data, at any depth, has a key twice: of two values no reader can know which one
// counts. What is no JSON is left to who reads it.
func Once(data []byte) error {
	if !json.Valid(data) {
		return nil
	}
	var open []map[string]bool // the keys so far of each object that is open; nil: a list
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{':
			open = append(open, map[string]bool{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			open = open[:len(open)-1]
		case '"':
			from := i
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if len(open) == 0 || open[len(open)-1] == nil || !beforeColon(data[i+1:]) {
				continue
			}
			var key string
			if err := json.Unmarshal(data[from:i+1], &key); err != nil {
				return err
			}
			if keys := open[len(open)-1]; !keys[key] {
				keys[key] = true
				continue
			}
			return fmt.Errorf("%q is there twice", Cut(key))
		}
	}
	return nil
}

// beforeColon reports whether a colon follows, as it does behind a key.
func beforeColon(rest []byte) bool {
	for _, c := range rest {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return c == ':'
		}
	}
	return false
}
