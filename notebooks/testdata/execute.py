"""Executes a notebook in its own folder, with the kernel that it names, and writes it back with its outputs.

Usage: execute.py NOTEBOOK SECONDS. It fails when a cell fails. A notebook that is not done after SECONDS hangs, and is
stopped.
"""
import asyncio
import hashlib
import os
import sys
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


def main(path, seconds):
    nb = nbformat.read(path, as_version=4)
    language = nb.metadata.get("language_info")
    client = NotebookClient(
        nb,
        kernel_name=nb.metadata.kernelspec.name,
        timeout=None,  # of a cell
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": os.path.dirname(os.path.abspath(path))}},
    )
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    begin = time.monotonic()
    try:
        asyncio.run(asyncio.wait_for(client.async_execute(), seconds))
    except CellExecutionError as e:
        sys.exit(f"a cell fails: {e}")
    except (TimeoutError, asyncio.TimeoutError, DeadKernelError) as e:  # a kernel that is stopped counts as dead
        took, done = time.monotonic() - begin, sum(cell.get("execution_count") is not None for cell in nb.cells)
        where = f"in code cell {done + 1} of {len(code)}, after {took:.0f} seconds"
        if took < seconds:
            sys.exit(f"the kernel died {where} ({e}): was there enough memory? `lmkit doctor` says what is missing")
        sys.exit(
            f"stopped {where}: a notebook takes a minute or a few, so this one hangs. Run its cells one by one in "
            "JupyterLab (go run ./cmd/lmkit notebook) to see where, and stop with Ctrl-C what else holds the machine"
        )
    for output in (o for cell in nb.cells for o in cell.get("outputs", [])):
        # Where a notebook is not trusted yet, HTML is shown without its style, and in place of the picture.
        if "image/png" in output.get("data", {}):
            output.data.pop("text/html", None)
    if language:
        nb.metadata.language_info = language  # the kernel's has a version in it
    nb.metadata.setdefault("lmkit", {})["code"] = hashlib.sha256("\n\x00\n".join(code).encode()).hexdigest()
    nbformat.validate(nb)
    nbformat.write(nb, path)


main(sys.argv[1], float(sys.argv[2]))
