package kernels

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"os"
	"strconv"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// draw shows explanations, which come as JSON, under each other.
func draw(to cell, out []byte) error {
	as, err := readAll(out)
	if err != nil {
		return err
	}
	for _, a := range as {
		if err := drawOne(to, render.Attribution{Attribution: a}); err != nil {
			return err
		}
	}
	return nil
}

// drawComparison shows explanations side by side.
func drawComparison(to cell, out []byte) error {
	as, err := readAll(out)
	if err != nil || len(as) == 0 {
		return err
	}
	c, err := render.Compare(as...)
	if err != nil {
		return err
	}
	return drawOne(to, c)
}

// drawMatrix shows scores of pairs.
func drawMatrix(to cell, out []byte) error {
	if len(bytes.TrimSpace(out)) == 0 { // of a command that failed before it had any
		return nil
	}
	m, err := explain.ReadMatrix(bytes.NewReader(out))
	if err != nil {
		return err
	}
	return drawOne(to, render.Matrix{Matrix: m})
}

// drawCircuit shows the curves of a circuit, and below them its graph, which the command has left in a file; a command
// that failed before has left none. The arguments say how many edges are drawn.
func drawCircuit(file string, args []string) func(to cell, out []byte) error {
	return func(to cell, out []byte) error {
		if err := drawMatrix(to, out); err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		var found *inspect.Graph
		if err == nil {
			err = json.Unmarshal(text, &found)
		}
		if err != nil {
			return fmt.Errorf("no circuit: %w", err)
		}
		most := render.MostEdges
		if value, ok := valueOf(args, "--edges"); ok {
			most, _ = strconv.Atoi(value) // the command has read it
		}
		return drawOne(to, render.GraphOf(found, most))
	}
}

// drawTree shows a decision tree over many texts.
func drawTree(to cell, out []byte) error {
	if len(bytes.TrimSpace(out)) == 0 { // of a command that failed before it had any
		return nil
	}
	var found surrogate.Global
	if err := json.Unmarshal(out, &found); err != nil {
		return fmt.Errorf("no tree: %w", err)
	}
	return drawOne(to, render.GlobalOf(&found))
}

// readAll reads explanations; none from a command that failed before it had any.
func readAll(out []byte) ([]*explain.Attribution, error) {
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, nil
	}
	return explain.Read(bytes.NewReader(out))
}

// drawOne shows one output in three formats: the reader's program takes the best that it can show.
func drawOne(to cell, figure plot.Figure) error {
	var page, text bytes.Buffer
	if err := render.Fragment(&page, render.Section{Figures: []plot.Figure{figure}}); err != nil {
		return err
	}
	picture, metadata, err := encodePNG(figure)
	if err != nil {
		return err
	}
	if err := figure.Text(&text, plot.Options{Width: 100}); err != nil {
		return err
	}
	data := map[string]any{"text/html": page.String(), "text/plain": text.String(), "image/png": picture}
	to.display(newID(), data, metadata, false)
	return nil
}

// encodePNG is a picture as a notebook holds it, with its size.
func encodePNG(figure interface{ PNG(io.Writer) error }) (encoded string, metadata map[string]any, err error) {
	var picture bytes.Buffer
	if err := figure.PNG(&picture); err != nil {
		return "", nil, err
	}
	encoded = base64.StdEncoding.EncodeToString(picture.Bytes())
	size, err := png.DecodeConfig(&picture)
	if err != nil {
		return "", nil, err
	}
	// A PNG has two pixels for each that the page shows.
	return encoded, map[string]any{"image/png": map[string]any{"width": size.Width / 2, "height": size.Height / 2}}, nil
}
