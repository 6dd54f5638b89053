package lmkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/token/chat"
)

// MaxRequestBytes bounds the JSON that ReadRequest accepts.
const MaxRequestBytes = 32 << 20

// Write writes a request as indented JSON, fields in the order of the struct. What Write wrote, ReadRequest reads
// back to an equal request.
func (r Request) Write(w io.Writer) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ReadRequest reads the JSON of a request, and validates it. It fails on a field that is unknown (and says which
// was meant, if one is close), repeated, null or of another type, on text that is not UTF-8, and on anything after
// the end: what it returns is all that the input said.
func ReadRequest(from io.Reader) (Request, error) {
	r, err := readJSON[Request](from)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return Request{}, fmt.Errorf("the request: %w", err)
	}
	return r, nil
}

// ReadMessages reads a conversation, a JSON array of objects with a role and a content, as strictly as ReadRequest
// does.
func ReadMessages(from io.Reader) ([]chat.Message, error) {
	messages, err := readJSON[[]chat.Message](from)
	if err == nil {
		err = Request{Messages: messages}.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("the messages: %w", err)
	}
	return messages, nil
}

// readJSON reads one JSON value, strictly, of at most MaxRequestBytes.
func readJSON[T any](from io.Reader) (v T, err error) {
	data, err := io.ReadAll(io.LimitReader(from, MaxRequestBytes+1))
	if err == nil && len(data) > MaxRequestBytes {
		err = fmt.Errorf("it is larger than %d MiB", MaxRequestBytes>>20)
	}
	if err == nil {
		err = strict.Unmarshal(data, &v)
	}
	return v, err
}
