package backend

import (
	"context"
	"runtime"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	newMachine(t)
	for _, c := range []struct {
		name, env string
		want      request
		wantErr   string
	}{
		{name: "", want: request{kind: Auto}},
		{name: "auto", env: "go", want: request{kind: Auto}},
		{name: " go ", want: request{kind: Go}},
		{name: "", env: "go", want: request{kind: Go}},
		{name: "xla", want: request{kind: XLACPU}},
		{name: "xla:cpu", want: request{kind: XLACPU}},
		{name: "xla:cuda,preallocate=true", want: request{kind: XLACUDA, config: ",preallocate=true"}},
		{name: "xla:/a/plugin.so", want: request{kind: XLACPU, plugin: "/a/plugin.so"}},
		{name: "xla:/a/pjrt_c_api_cuda_plugin.so,tf32=false",
			want: request{kind: XLACUDA, plugin: "/a/pjrt_c_api_cuda_plugin.so", config: ",tf32=false"}},
		{name: "xla:cpu,devices=3", want: request{kind: XLACPU, devices: 3}},
		{name: "xla:/a/pjrt_c_api_cpu_plugin.so,shared_buffers,devices=1,tf32=false", want: request{kind: XLACPU,
			plugin: "/a/pjrt_c_api_cpu_plugin.so", config: ",shared_buffers,tf32=false", devices: 1}},
		{name: "xla:cpu,devices=0", wantErr: "xla:cpu: devices=0 is no number of devices: take 1 or more"},
		{name: "xla:tpu", wantErr: `unknown engine "xla:tpu": choose auto, xla:cpu, xla:cuda or go`},
		{name: "", env: "cuda", wantErr: `unknown engine "cuda"`},
		{name: "go,fast", wantErr: "unknown engine"},
		{name: "XLA", wantErr: "unknown engine"},
	} {
		t.Setenv(EnvEngine, c.env)
		got, err := Options{Name: c.name}.request()
		if c.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("%q: %v, want %q", c.name, err, c.wantErr)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestOnlyAutoFallsBack(t *testing.T) {
	newMachine(t)
	reason := "python3 is not found"
	if err := xlaMissing(); err != nil {
		reason = err.Error()
	}
	e, err := Open(context.Background(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != Go || !strings.Contains(e.Note, reason) || strings.Contains(e.Note, "\n") {
		t.Errorf("auto gave %s with the note %q, want go, and in one line why", e.Kind, e.Note)
	}
	for _, name := range []string{XLACPU, "xla"} {
		if _, err := Open(context.Background(), Options{Name: name}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want an error with %q", name, err, reason)
		}
	}
	if _, err := Open(context.Background(), Options{Name: XLACUDA}); err == nil {
		t.Error("xla:cuda opened without a GPU")
	} else if xlaMissing() == nil && !strings.Contains(err.Error(), "no NVIDIA GPU") {
		t.Errorf("xla:cuda: %v, want an error about the GPU", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{}); xlaMissing() == nil && err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPluginThatDoesNotLoad(t *testing.T) {
	if err := xlaMissing(); err != nil || runtime.GOOS != "linux" {
		t.Skipf("needs XLA on Linux: %v", err)
	}
	m := newMachine(t)
	file := m.File("not a library")
	for _, o := range []Options{{Plugin: file}, {Name: XLACPU, Plugin: file}, {Name: "xla:" + file}} {
		_, err := Open(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want one line that names the file", o, err)
		}
	}
}
