"""Checks a container from inside, as its browser would, with the network off.

Usage: check.py first|again. "first" starts JupyterLab, works with it, and stops it in the middle of a training;
"again" runs in a second container on the same work volume, and finds everything there. Measurements go to the output.
"""
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
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


def check(what, ok, detail=""):
    print(f"{'ok    ' if ok else 'FAILED'}  {what}  {detail}".rstrip(), flush=True)
    if not ok:
        sys.exit(1)


def measured(what, value):
    print(f"measured  {what}: {value}", flush=True)


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
        began = time.monotonic()
        self.log = open("/tmp/jupyter.log", "w+")
        self.process = subprocess.Popen(["lmkit-start"], env=env, stdout=self.log, stderr=self.log)
        while True:
            try:
                ask("/api")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 60:
                    check("JupyterLab starts", False, self.said())
                time.sleep(0.02)
        self.seconds = time.monotonic() - began

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


class Kernel:
    """A kernel behind JupyterLab's web socket."""

    def __init__(self, token, name="lmkit-cpu"):
        status, answer = ask("/api/kernels", token, "POST", {"name": name, "path": "notebooks"})
        check("the kernel starts", status == 201, "" if status == 201 else answer)
        kernel = json.loads(answer)["id"]
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{PORT}/api/kernels/{kernel}/channels?token={token}", timeout=120)

    def send(self, code):
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "check", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
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
    measured("start of JupyterLab, second start in this container", f"{server.seconds:.1f} s")
    check("a token that was given is not shown", token not in server.said())
    for path in ("/api/contents", "/api/kernelspecs", "/api/terminals"):
        check(f"{path} is refused without the token", ask(path)[0] == 403)
        check(f"{path} is refused with another one", ask(path, "wrong")[0] == 403)
        check(f"{path} answers with it", ask(path, token)[0] == 200)
    check("the page is a login without the token", b'name="password"' in ask("/lab")[1])
    check("the health check needs none", ask("/api")[0] == 200)
    measured("memory, JupyterLab alone", f"{server.memory()} MB")

    began = time.monotonic()
    kernel = Kernel(token)
    said, _ = kernel.run('%%\nfmt.Println("first", 6*7)')
    check("the first cell runs", "first 42" in said, said)
    measured("kernel start and first cell together", f"{time.monotonic() - began:.1f} s")
    _, seconds = kernel.run('%%\nfmt.Println("second", 6*7)')
    measured("a later cell", f"{seconds:.1f} s")
    said, seconds = kernel.run("%%\ne, err := backend.Open(context.Background(), backend.Options{})\nfmt.Println(e.Kind, err)")
    check("a cell computes on XLA", "xla:cpu <nil>" in said, said)
    measured("a cell that opens XLA", f"{seconds:.1f} s")
    measured("memory with an idle kernel", f"{server.memory()} MB")

    lesson = sorted((WORK / "notebooks").iterdir())[0].name
    body = {"type": "file", "format": "text", "content": "mine\n"}
    check("a student's file is saved", ask("/api/contents/mine.txt", token, "PUT", body)[0] == 201)
    check("a student's change of a lesson is saved", ask("/api/contents/notebooks/" + lesson, token, "PUT", body)[0] == 200)

    about = kernel.send("%lmkit train --data grammar --arch transformer --layers 2 --width 128 --steps 100000 --log-every 5 --out run")
    most, shown, began = 0, 0, time.monotonic()
    for m in kernel.messages(about):
        shown += m["msg_type"] == "update_display_data"
        most = max(most, server.memory())
        if m["msg_type"] == "error":
            check("it trains", False, m["content"]["evalue"])
        if time.monotonic() - began > 15:
            break
    check("it trains, and shows how it goes", shown > 0, f"{shown} updates")
    measured("memory in training", f"{most} MB")
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
    measured("start of JupyterLab, first start in a new container", f"{server.seconds:.1f} s")
    check("another container loses no file of the work volume, and overwrites none", {k: v for k, v in sums().items() if k in kept} == kept, f"{len(kept)} files")
    check("what was saved is there", ask("/api/contents/mine.txt", "again")[0] == 200)
    server.stop()


def offline():
    """Whether no other machine can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing: it asks for a route
        except OSError:
            return True
    return False


{"first": first, "again": again}[sys.argv[1]]()
