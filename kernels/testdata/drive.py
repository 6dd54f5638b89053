"""Drives a kernel for the Go tests: reads requests as lines of JSON, writes one line of JSON for each.

Requests: {"op": "start", "kernel": NAME, "cwd": DIR}, {"op": "run", "code": TEXT, "input": [..], "interrupt": TEXT,
"aborts": [..]}, {"op": "complete" | "inspect", "code": TEXT, "pos": N}, {"op": "restart" | "kill" | "shutdown"}.
"""
import json
import os
import queue
import signal
import sys
import tempfile
import time
import uuid

from jupyter_client import KernelManager

LIMIT = 3600  # seconds, after which something hangs


class Driver:
    def start(self, kernel, cwd, env=None):
        self.id = str(uuid.uuid4())  # widgets find the kernel by the name of this file
        self.folder = tempfile.TemporaryDirectory()
        self.manager = KernelManager(kernel_name=kernel, connection_file=os.path.join(self.folder.name, f"kernel-{self.id}.json"))
        self.manager.start_kernel(cwd=cwd, env={**os.environ, **(env or {})})
        return self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT)
        info = self.client.kernel_info(reply=True, timeout=LIMIT)
        return {"pid": self.manager.provisioner.pid, "info": info["content"]}

    def run(self, code, input=None, interrupt="", aborts=(), widget=None):
        """Run a cell. Input answers what it asks for; interrupt is sent when this text has been seen; widget is the
        value that the page answers with when the cell wants to know one, as the kernel's JavaScript would."""
        c = self.client
        began = time.monotonic()
        me = c.execute(code, allow_stdin=input is not None)
        after = [c.execute(a) for a in aborts]
        outputs, kinds, answers = [], [], list(input or [])
        interrupted = False
        while True:
            if input is not None and answers:
                try:
                    c.get_stdin_msg(timeout=0.02)
                    c.input(answers.pop(0))
                except queue.Empty:
                    pass
            if time.monotonic() - began > LIMIT:
                raise TimeoutError(f"{code!r} did not end; outputs: {outputs}")
            try:
                m = c.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            if m["parent_header"].get("msg_id") != me:
                continue
            kind, content = m["msg_type"], m["content"]
            kinds.append(kind)
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "stream":
                outputs.append({"kind": content["name"], "text": content["text"]})
            elif kind in ("display_data", "update_display_data", "execute_result"):
                outputs.append({"kind": kind, "data": content["data"], "id": content.get("transient", {}).get("display_id", "")})
            elif kind == "error":
                outputs.append({"kind": "error", "text": content["evalue"]})
            elif kind == "execute_input":
                outputs.append({"kind": "input", "text": content["code"], "count": content["execution_count"]})
            elif kind == "comm_msg":
                outputs.append({"kind": kind, "text": json.dumps(content)})
                if content["data"].get("read_request"):
                    self.comm("comm_msg", data={"address": content["data"]["address"], "value": widget})
            if widget is not None and kind == "display_data" and "gonb_comm" in json.dumps(content):
                self.comm("comm_open", target_name="gonb_comm", kernel_id=self.id)
            seen = "".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs if o["kind"] != "input")
            if interrupt and interrupt in seen and not interrupted:
                interrupted = True
                self.manager.interrupt_kernel()
        reply = self.reply(me)
        states = [self.reply(a)["status"] for a in after]
        return {"status": reply["status"], "count": reply.get("execution_count"), "ename": reply.get("ename", ""), "evalue": reply.get("evalue", ""),
                "outputs": outputs, "kinds": kinds, "after": states, "seconds": time.monotonic() - began}

    def comm(self, kind, data=None, **content):
        content = {"comm_id": "page", "data": data or {}, **content}
        self.client.shell_channel.send(self.client.session.msg(kind, content))

    def reply(self, of):
        self.replies = getattr(self, "replies", {})
        until = time.monotonic() + LIMIT
        while of not in self.replies:
            m = self.client.get_shell_msg(timeout=max(0.1, until - time.monotonic()))
            self.replies[m["parent_header"].get("msg_id")] = m["content"]
        return self.replies.pop(of)

    def complete(self, code, pos):
        return self.reply(self.client.complete(code, pos))

    def inspect(self, code, pos):
        return self.reply(self.client.inspect(code, pos))

    def restart(self):
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        return self.connect()

    def alive(self):
        return {"alive": self.manager.is_alive()}

    def shutdown(self, now=False):
        began = time.monotonic()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        return {"seconds": time.monotonic() - began}

    def kill(self):
        os.kill(self.manager.provisioner.pid, signal.SIGKILL)
        return {}


def main():
    driver = Driver()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(driver, request.pop("op"))(**request)
        except Exception as e:  # the test says what went wrong
            answer = {"failed": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)
    if hasattr(driver, "manager"):
        driver.manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
