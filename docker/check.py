"""Checks and measures a container from inside, as its browser would use it, with the network off.

Usage: check.py first|again|parts|measure. "first" starts JupyterLab, works with it, and stops it in the middle of a
training; "again" runs in a second container on the same work volume, and finds everything there. "parts" and "measure"
print lines of a Markdown table: what the image holds, and how long things take and what memory they need.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import psutil
import websocket

WORK = pathlib.Path.home() / "work"
PORT = 8888
SITE = f"http://127.0.0.1:{PORT}"
SUMS = WORK / "sums.json"

# A cell that computes on XLA: nothing of it was compiled before.
XLA = """import "github.com/gomlx/gomlx/core/graph"
%%
e, err := backend.Default()
if err != nil { panic(err) }
product, err := graph.CallOnce(e.Backend, func(a, b *graph.Node) *graph.Node { return graph.Mul(a, b) }, 6, 7)
if err != nil { panic(err) }
fmt.Println(e.Kind, product.Value())"""


def check(what, ok, detail=""):
    print(f"{'ok    ' if ok else 'FAILED'}  {what}  {detail}".rstrip(), file=sys.stderr, flush=True)
    if not ok:
        sys.exit(1)


def ask(path, token=None, method="GET", body=None):
    """The status and the answer of a request to JupyterLab."""
    headers = {"Authorization": f"token {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SITE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


class Server:
    """JupyterLab as the container starts it, but on loopback."""

    def __init__(self, token=""):
        env = os.environ | {"LMKIT_IP": "127.0.0.1", "JUPYTER_TOKEN": token}
        self.began = time.monotonic()
        self.log = open("/tmp/jupyter.log", "w+")
        self.process = subprocess.Popen(["lmkit-start"], env=env, stdout=self.log, stderr=self.log)
        while True:
            try:
                ask("/api")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - self.began > 60:
                    check("JupyterLab starts", False, self.said())
                time.sleep(0.02)

    def said(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def stop(self):
        """As "docker stop" does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def memory(self):
        """What the server and its kernels hold, in MB: shared pages count in parts."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        total = 0
        for p in family:
            try:
                total += p.memory_full_info().pss
            except psutil.Error:
                pass
        return round(total / 1e6)

    @contextlib.contextmanager
    def watched(self):
        """Memory at its highest, ten times a second."""
        seen, over = [self.memory()], threading.Event()

        def watch():
            while not over.wait(0.1):
                seen.append(self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield lambda: max(seen)
        finally:
            over.set()
            watcher.join()


class Kernel:
    """A kernel behind JupyterLab's web socket, ready to run a cell."""

    def __init__(self, token, name="lmkit-cpu"):
        began = time.monotonic()
        status, answer = ask("/api/kernels", token, "POST", {"name": name, "path": "notebooks"})
        check("the kernel starts", status == 201, "" if status == 201 else answer)
        kernel = json.loads(answer)["id"]
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{PORT}/api/kernels/{kernel}/channels?token={token}", timeout=120)
        about = self.request("kernel_info_request", {})
        next(m for m in self.messages(about) if m["msg_type"] == "kernel_info_reply")
        self.seconds = time.monotonic() - began

    def send(self, code):
        return self.request(
            "execute_request",
            {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True},
        )

    def request(self, kind, content):
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "check", "version": "5.3"}
        self.socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
        return header["msg_id"]

    def messages(self, about):
        while True:
            m = json.loads(self.socket.recv())
            if m["parent_header"].get("msg_id") == about:
                yield m

    def run(self, code):
        """What a cell says, and its seconds."""
        began, text = time.monotonic(), ""
        for m in self.messages(self.send(code)):
            text += m["content"].get("text", "") + m["content"].get("data", {}).get("text/plain", "")
            if m["msg_type"] == "error":
                check("a cell runs", False, "\n".join(m["content"]["traceback"]))
            if m["msg_type"] == "status" and m["content"]["execution_state"] == "idle":
                return text, time.monotonic() - began


def first():
    check("the user is not root", os.getuid() != 0, f"uid {os.getuid()}")
    check("the network is off", offline())
    check("the notebooks that come with the image cannot be changed", not os.access("/opt/lmkit/notebooks", os.W_OK) and not os.access("/opt/lmkit", os.W_OK))

    server = Server()
    tokens = re.findall(r"token=([0-9a-f]{48})", server.said())
    check("without a token one is made, and shown once", len(tokens) == 1)
    check("it lets in", ask("/api/contents", tokens[0])[0] == 200)
    check("an empty token does not", ask("/api/contents?token=")[0] == 403)
    server.stop()

    token = "given-" + uuid.uuid4().hex
    server = Server(token)
    check("a token that was given is not shown", token not in server.said())
    for path in ("/api/contents", "/api/kernelspecs", "/api/terminals"):
        check(f"{path} is refused without the token", ask(path)[0] == 403)
        check(f"{path} is refused with another one", ask(path, "wrong")[0] == 403)
        check(f"{path} answers with it", ask(path, token)[0] == 200)
    check("the page is a login without the token", b'name="password"' in ask("/lab")[1])
    check("the health check needs none", ask("/api")[0] == 200)

    kernel = Kernel(token)
    said, _ = kernel.run('%%\nfmt.Println("first", 6*7)')
    check("the first cell runs", "first 42" in said, said)
    said, _ = kernel.run(XLA)
    check("a cell computes on XLA", "xla:cpu 42" in said, said)

    lesson = sorted((WORK / "notebooks").iterdir())[0].name
    body = {"type": "file", "format": "text", "content": "mine\n"}
    check("a student's file is saved", ask("/api/contents/mine.txt", token, "PUT", body)[0] == 201)
    check("a student's change of a lesson is saved", ask("/api/contents/notebooks/" + lesson, token, "PUT", body)[0] == 200)

    about = kernel.send("%lmkit train --data grammar --arch transformer --layers 2 --width 128 --steps 100000 --log-every 5 --out run")
    shown, began = 0, time.monotonic()
    for m in kernel.messages(about):
        shown += m["msg_type"] == "update_display_data"
        if m["msg_type"] == "error":
            check("it trains", False, m["content"]["evalue"])
        if time.monotonic() - began > 15:
            break
    check("it trains, and shows how it goes", shown > 0, f"{shown} updates")
    began = time.monotonic()
    code = server.stop()
    check("it stops when it is told to, within 30 seconds", True, f"{time.monotonic() - began:.1f} s, exit code {code}")
    check("the stopped training left its checkpoint", any((WORK / "notebooks/run").rglob("*.safetensors")))
    SUMS.write_text(json.dumps(sums()))


def sums():
    return {str(p.relative_to(WORK)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(WORK.rglob("*")) if p.is_file() and p != SUMS}


def again():
    kept = json.loads(SUMS.read_text())
    server = Server("again")
    check("another container loses no file of the work volume, and overwrites none", {k: v for k, v in sums().items() if k in kept} == kept, f"{len(kept)} files")
    check("what was saved is there", ask("/api/contents/mine.txt", "again")[0] == 200)
    server.stop()


def row(what, value, how):
    print(f"| {what} | {value} | {how} |", flush=True)


def parts():
    """What the image's files need, by du, which counts each file once: what is left after the others comes last."""
    venv = "/home/student/.cache/lmkit/jupyter"
    debian = set(subprocess.run(["dpkg-query", "-W", "-f", "${Package}\n"], capture_output=True, text=True, check=True).stdout.split())
    gcc, python = only_for("gcc", "libc6-dev"), only_for("python3", "python3-venv")
    groups = [
        ("Go toolchain", ["/usr/local/go"], "`/usr/local/go`"),
        ("Go modules", ["/home/student/go"], "`~/go`"),
        ("Go build cache, for quick cells", ["/home/student/.cache/go-build"], "`~/.cache/go-build`"),
        ("XLA plugin", ["/home/student/.cache/lmkit/pjrt"], "`~/.cache/lmkit/pjrt`"),
        ("SmolLM2", ["/home/student/.cache/lmkit/models"], "`~/.cache/lmkit/models`"),
        ("lmkit, its kernel and its tools", ["/opt/lmkit", venv + "/share/jupyter/lmkit"], "`/opt/lmkit`, `~/.cache/lmkit/jupyter/share/jupyter/lmkit`"),
        ("JupyterLab", [venv], "`~/.cache/lmkit/jupyter`, the rest of it"),
        ("Python", files(python), "packages that `apt-get -s autoremove python3 python3-venv` would remove"),
        ("gcc, and C's headers", files(gcc - python), "packages that `apt-get -s autoremove gcc libc6-dev` would remove"),
        ("Debian (the base)", files(debian - gcc - python), "the other packages"),
        ("everything else", ["/"], "`/`, the rest of it"),
    ]
    group = {path: what for what, paths, _ in groups for path in paths}
    names = "\0".join(group)
    said = subprocess.run(["du", "-xs", "--apparent-size", "--block-size=1", "--files0-from=-"], input=names, capture_output=True, text=True).stdout
    sizes = dict.fromkeys((what for what, _, _ in groups), 0)
    for line in said.splitlines():
        size, path = line.split("\t")
        sizes[group[path]] += int(size)
    for what, _, how in groups:
        row("· " + what, f"{sizes[what] / 1e6:.0f} MB", how)
    row("these together", f"{sum(sizes.values()) / 1e6:.0f} MB", "`du -xs --apparent-size` of all of them at once")


def only_for(*packages):
    """These Debian packages and those that are there because of them alone."""
    strict = ["-o", "APT::AutoRemove::SuggestsImportant=0", "-o", "APT::AutoRemove::RecommendsImportant=0"]
    said = subprocess.run(["apt-get", "-s", "autoremove", *strict, *packages], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(?m)^Remv (\S+)", said))


def files(packages):
    """The files of Debian packages that were not deleted since."""
    said = subprocess.run(["dpkg-query", "-L", *sorted(packages)], capture_output=True, text=True, check=True).stdout if packages else ""
    return [f for f in set(said.splitlines()) if os.path.islink(f) or os.path.isfile(f)]


def measure():
    before = others()
    token = "measure"
    server = Server(token)
    while ask("/api/contents", token)[0] != 200:
        time.sleep(0.02)
    row("start of a new container", f"{time.monotonic() - server.began:.1f} s", "`lmkit-start`, until `GET /api/contents` answers with the token")
    server.stop()
    server = Server(token)
    row("start again", f"{time.monotonic() - server.began:.1f} s", "the same, when the lessons are there already")
    time.sleep(5)
    held = "`Pss` of JupyterLab and all that it started, from `/proc/*/smaps_rollup`"
    row("memory, JupyterLab alone", f"{server.memory()} MB", held)

    kernel = Kernel(token)
    row("start of a kernel", f"{kernel.seconds:.1f} s", "`POST /api/kernels`, until `kernel_info_reply`")
    said, seconds = kernel.run(XLA)
    check("a cell computes on XLA", "xla:cpu 42" in said, said)
    row("first cell, which compiles and runs a graph on XLA", f"{seconds:.1f} s", "`graph.CallOnce`, until the kernel is idle")
    row("the same cell again", f"{kernel.run(XLA)[1]:.1f} s", "")
    row("a cell without XLA", f"{kernel.run('%%' + chr(10) + 'fmt.Println(6*7)')[1]:.1f} s", "`fmt.Println(6*7)`")
    time.sleep(5)
    row("memory with an idle kernel", f"{server.memory()} MB", "as above")

    magic = "%lmkit train --data grammar --arch transformer --layers 2 --width 128 --steps 200 --out run"
    with server.watched() as most:
        _, seconds = kernel.run(magic)
    row("memory in training, at most", f"{most()} MB", f"as above, ten times a second, in `{magic}`")
    row("that training", f"{seconds:.0f} s", "")
    server.stop()
    row("what others used meanwhile", f"{before:.1f} cores before, {others():.1f} after, of {os.cpu_count()}", "`/proc/stat`, for 3 s each")


def others():
    """The processor cores that are busy while nothing of ours runs."""
    return psutil.cpu_percent(interval=3) / 100 * os.cpu_count()


def offline():
    """Whether no other machine can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing: it asks for a route
        except OSError:
            return True
    return False


{"first": first, "again": again, "parts": parts, "measure": measure}[sys.argv[1]]()
