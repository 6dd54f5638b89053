package kernels

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"lmkit.internal/lmkit/backend"
)

// Check looks at what notebooks need: Python, the environment with JupyterLab, and the kernels that are installed for
// the user and in that environment. Models run without any of it, so nothing is worse than a warning. Nothing is
// changed.
func Check(ctx context.Context) []backend.Item {
	var items []backend.Item
	add := func(name string, status backend.Status, found, cure string) {
		items = append(items, backend.Item{Name: name, Status: status, Found: found, Cure: cure})
	}
	if python, err := exec.LookPath("python3"); err != nil {
		add("notebooks", backend.Warning, "python3 is not found, and Jupyter needs it", "install Python 3.10 or later "+
			"(Debian: apt-get install python3 python3-venv)")
	} else if said, err := run(ctx, "", nil, python, "-c", "import sys, venv, ensurepip; "+
		"sys.exit(sys.version_info < (3, 10))"); err != nil {
		add("notebooks", backend.Warning, strings.TrimSpace(python+" is older than 3.10, or has no venv: "+tail(said)),
			"install Python 3.10 or later with venv (Debian: apt-get install python3-venv)")
	}
	venv, err := DefaultVenv()
	if err != nil {
		add("JupyterLab", backend.Warning, err.Error(), "set HOME or XDG_CACHE_HOME")
		return items
	}
	if venv.Ready() {
		add("JupyterLab", backend.Good, venv.Dir, "")
	} else {
		add("JupyterLab", backend.Good, "not set up: lmkit notebook does it", "")
	}
	user, err := Folder("")
	if err != nil {
		add("kernels", backend.Warning, err.Error(), "")
		return items
	}
	folders := []string{user}
	if inside, err := Folder(venv.Dir); err == nil {
		folders = append(folders, inside)
	}
	none := true
	for _, folder := range folders {
		all, err := List(folder)
		if err != nil {
			add("kernels", backend.Warning, err.Error(), "")
		}
		for _, k := range all {
			none = false
			if k.Problem != "" {
				found, cure, _ := strings.Cut(k.Problem, ": ")
				add(k.Name, backend.Warning, found, cure)
				continue
			}
			add(k.Name, backend.Good, fmt.Sprintf("%s, with gonb, goimports and gopls, in %s", k.Display, k.Dir), "")
		}
	}
	if none {
		add("kernels", backend.Good, "none is installed: lmkit notebook, or lmkit kernel install, does it", "")
	}
	return items
}
