package kernels

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// connection is Jupyter's connection file.
type connection struct {
	Transport   string `json:"transport"`
	IP          string `json:"ip"`
	ShellPort   int    `json:"shell_port"`
	ControlPort int    `json:"control_port"`
	StdinPort   int    `json:"stdin_port"`
	IOPubPort   int    `json:"iopub_port"`
	HBPort      int    `json:"hb_port"`
	Scheme      string `json:"signature_scheme"`
	Key         string `json:"key"`
}

func readConnection(file string) (c connection, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read Jupyter's connection file: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read Jupyter's connection file %s: %w", file, err)
	}
	if c.Transport != "tcp" && c.Transport != "ipc" {
		return c, fmt.Errorf("the connection file %s asks for the transport %q; there are tcp and ipc", file, c.Transport)
	}
	if c.Scheme != "" && c.Scheme != "hmac-sha256" {
		return c, fmt.Errorf("the connection file %s asks for signatures by %q; there is hmac-sha256", file, c.Scheme)
	}
	return c, nil
}

// address is a port of the connection as ZeroMQ writes it.
func (c connection) address(port int) string {
	separator := ":"
	if c.Transport == "ipc" {
		separator = "-"
	}
	return fmt.Sprintf("%s://%s%s%d", c.Transport, c.IP, separator, port)
}

// message is a message of Jupyter's protocol, with its parts as they were sent.
// https://jupyter-client.readthedocs.io/en/stable/messaging.html
type message struct {
	ids     [][]byte // who it goes to, or comes from
	raw     [][]byte // header, parent header, metadata, content, buffers
	header  header
	parent  header
	content map[string]any // nil until read by body
}

type header struct {
	ID       string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Type     string `json:"msg_type"`
	Version  string `json:"version"`
}

var delimiter = []byte("<IDS|MSG>")

// parse reads the frames of a message, and checks its signature.
func parse(frames [][]byte, key string) (*message, error) {
	for i, f := range frames {
		if !bytes.Equal(f, delimiter) {
			continue
		}
		if len(frames) < i+6 {
			break
		}
		m := &message{ids: frames[:i], raw: frames[i+2:]}
		if key != "" && !hmac.Equal(frames[i+1], sign(m.raw, key)) {
			return nil, errors.New("a message has a wrong signature")
		}
		if err := json.Unmarshal(m.raw[0], &m.header); err != nil {
			return nil, fmt.Errorf("a message has no header: %w", err)
		}
		_ = json.Unmarshal(m.raw[1], &m.parent) // {} where there is no parent
		return m, nil
	}
	return nil, errors.New("a message lacks parts")
}

// frames is the message as it is sent.
func (m *message) frames(key string) [][]byte {
	all := append([][]byte{}, m.ids...)
	return append(append(all, delimiter, sign(m.raw, key)), m.raw...)
}

// sign covers header, parent header, metadata and content. Without a key there are no signatures.
func sign(raw [][]byte, key string) []byte {
	if key == "" {
		return nil
	}
	h := hmac.New(sha256.New, []byte(key))
	for _, part := range raw[:4] {
		h.Write(part)
	}
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

// body is the content; empty, when it is not an object.
func (m *message) body() map[string]any {
	if m.content == nil {
		m.content = map[string]any{}
		_ = json.Unmarshal(m.raw[3], &m.content)
	}
	return m.content
}

func (m *message) text(key string) string { s, _ := m.body()[key].(string); return s }
func (m *message) flag(key string, missing bool) bool {
	if b, ok := m.body()[key].(bool); ok {
		return b
	}
	return missing
}

// set changes one value of the content.
func (m *message) set(key string, value any) {
	m.body()[key] = value
	m.raw[3] = marshal(m.content)
}

// answer is a new message about another one.
func (m *message) answer(kind string, content any) *message {
	h := header{ID: newID(), Session: m.header.Session, Username: m.header.Username, Type: kind, Version: "5.4",
		Date: time.Now().UTC().Format(time.RFC3339Nano)}
	return &message{ids: m.ids, header: h, parent: m.header, raw: [][]byte{marshal(h), m.raw[0], []byte("{}"),
		marshal(content)}}
}

// request is a new message to a kernel, of the proxy's own.
func request(id, kind string, content any) *message {
	h := header{ID: id, Session: "lmkit", Username: "lmkit", Type: kind, Version: "5.4",
		Date: time.Now().UTC().Format(time.RFC3339Nano)}
	return &message{ids: [][]byte{[]byte("lmkit")}, header: h, raw: [][]byte{marshal(h), []byte("{}"), []byte("{}"),
		marshal(content)}}
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // strings, numbers and maps of them always marshal
		return []byte("{}")
	}
	return text
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
