package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script for a machine with a GPU is clean, as far as the shells here can tell.
func TestCUDAScriptIsClean(t *testing.T) {
	for _, checker := range [][]string{{"sh", "-n"}, {"bash", "-n"}, {"shellcheck"}} {
		if _, err := exec.LookPath(checker[0]); err != nil {
			t.Log(err)
			continue
		}
		if out, err := exec.Command(checker[0], append(checker[1:], "../cuda")...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", checker[0], err, out)
		}
	}
}

// fakeGPU is a machine that the script finds one piece of after the other, all of them shell scripts.
type fakeGPU struct {
	t         *testing.T
	bin, root string
}

// program writes a program of the machine, or of the packed folder where the name has a folder.
func (f fakeGPU) program(name, script string) {
	f.t.Helper()
	if !strings.Contains(name, "/") {
		name = filepath.Join(f.bin, name)
	}
	f.file(name, "#!/bin/sh\n"+script+"\n")
}

func (f fakeGPU) file(name, text string) {
	f.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(f.root, name)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o755)); err != nil {
		f.t.Fatal(err)
	}
}

// python answers what the script asks, by words of the question.
func (f fakeGPU) python(answers ...string) {
	cases := `case "$1" in --version) echo Python 3.12; exit ;; *.py) echo "$0 $*"; env; exit ;; esac
case "$2" in
`
	for i := 0; i < len(answers); i += 2 {
		cases += "*'" + answers[i] + "'*) echo '" + answers[i+1] + "' ;;\n"
	}
	f.program("python3", cases+"*) exit 1 ;;\nesac")
}

// run runs the packed script, and returns what it says and the error that it ends with.
func (f fakeGPU) run() (out, wrong string) {
	f.t.Helper()
	cmd := exec.Command("/bin/sh", filepath.Join(f.root, "cuda"), "run", "--quick")
	cmd.Env = []string{"PATH=" + f.bin, "HOME=" + f.root}
	var said, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &errs
	if err := cmd.Run(); err == nil && errs.Len() > 0 {
		f.t.Errorf("it ended well, and said %q", errs.String())
	}
	return said.String(), errs.String()
}

// Every piece that a machine lacks is one line that names it and what cures it; a machine that has all runs everything
// on the plugin that its Python has.
func TestCUDAScriptNamesWhatIsMissing(t *testing.T) {
	f := fakeGPU{t, t.TempDir(), t.TempDir()}
	for _, tool := range []string{"sh", "dirname", "basename", "head", "find", "tr", "ln", "rm", "mkdir", "env"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(path, filepath.Join(f.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("../cuda")
	if err != nil {
		t.Fatal(err)
	}
	f.file("cuda", string(script))
	missing := func(want ...string) {
		t.Helper()
		_, wrong := f.run()
		if !strings.HasPrefix(wrong, "bench/cuda: ") || strings.Count(wrong, "\n") != 1 {
			t.Errorf("not one line of an error: %q", wrong)
		}
		for _, w := range want {
			if !strings.Contains(wrong, w) {
				t.Errorf("%q does not say %q", wrong, w)
			}
		}
	}
	missing("not packed", "bench/cuda pack FOLDER")
	f.program("./ours", "")
	f.program("./lmkit", "echo version GLIBC_2.99 not found >&2; exit 1")
	missing("does not start", "GLIBC_2.99", "glibc is no newer")
	f.program("./lmkit", `echo "lmkit $*"`)
	missing("no nvidia-smi", "driver", "--gpus all")
	f.program("nvidia-smi", "echo No devices were found; exit 6")
	missing("shows no GPU: No devices were found")
	f.program("nvidia-smi", "echo 'NVIDIA X, 580.1, 80 GB'")
	missing("no python3", "PYTHON")
	f.python()
	missing("cannot import torch")
	all := []string{"import torch;", "yes", "import numpy;", "yes", "import safetensors;", "yes"}
	f.python(all...)
	missing("cannot import captum")
	all = append([]string{"cuda.is_available", "False", "torch.__version__", "2.13.0+cpu"},
		append(all, "import captum;", "yes")...)
	f.python(all...)
	missing("sees no GPU", "2.13.0+cpu", "580.1")
	all[1] = "True"
	f.python(all...)
	missing("no JAX plugin", "jax[cuda12]")
	f.file("site/jax_plugins/xla_cuda12/xla_cuda_plugin.so", "")
	f.python(append(all, "xla_cuda12", filepath.Join(f.root, "site/jax_plugins/xla_cuda12"))...)
	missing("site/nvidia", "jax[cuda12]")
	f.file("site/nvidia/cublas/lib/libcublas.so", "")
	missing("nvvm/libdevice", "nvidia-cuda-nvcc")
	f.file("site/nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc", "")
	f.file("site/nvidia/cuda_nvcc/bin/ptxas", "")
	f.program("./tests/lm/test", `echo "lm $*"`)
	f.program("./tests/internal/net/test", `echo "net $*"`)
	out, wrong := f.run()
	for _, want := range []string{
		"lmkit doctor", "lm -test.run Reference", "net -test.run Reference", "lmkit train --data grammar",
		"lmkit explain runs/gpt", "lmkit generate runs/gpt",
		"compare.py --ours " + f.root + "/ours --device cuda",
		"--without lime-1000,kernelshap-1000,llm-start", "--quick",
		"XLA_FLAGS=--xla_gpu_cuda_data_dir=" + f.root + "/site/nvidia/cuda_nvcc\n",
		"PJRT_PLUGIN_LIBRARY_PATH=" + f.root + "/plugin/cuda\n", "LD_LIBRARY_PATH=" + f.root + "/site/nvidia/cublas/lib:\n",
		"GOMLX_BACKEND=xla:cuda,tf32=false\n", "PATH=" + f.root + "/site/nvidia/cuda_nvcc/bin:",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q, but\n%s%s", want, out, wrong)
		}
	}
	for _, link := range []string{"plugin/cuda/pjrt_c_api_cuda_plugin.so", "plugin/nvidia/cublas/lib"} {
		if _, err := os.Stat(filepath.Join(f.root, link)); errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	f.program("./lmkit", `[ "$1" != train ] || { echo out of memory >&2; exit 3; }`)
	if _, wrong := f.run(); !strings.HasPrefix(wrong, "out of memory\nbench/cuda: training failed, as said above: ") {
		t.Errorf("a step that fails says %q", wrong)
	}
}
