"""Compares lmkit with Python's tools, process by process in turn. bench/run starts it.

Each row is measured in rounds. A round runs lmkit, then each peer, every one in a process of its own, first as they
come, then tuned. What they computed is compared in every round, and a row fails loudly where it differs. A round in
which others used the machine is thrown away and repeated.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# The allocator keeps its memory: each fresh large buffer costs a page fault per 4 KiB otherwise.
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.arena_max=1"}
TIMEOUT = 1800


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="lmkit-bench-") as work:
        bench = Benchmark(args, pathlib.Path(work))
        bench.prepare()
        report = {"machine": machine() | bench.rates, "quick": args.quick, "runs": args.runs, "limit": args.others, "device": args.device, "rows": []}
        print(bench.describe(), flush=True)
        if args.quick:
            print("quick: tiny sizes, to see that everything works and agrees; the times mean nothing", flush=True)
        print(HEADER, flush=True)
        for row in bench.rows:
            for line in bench.measure(row):
                report["rows"].append(line)
                print(show(line), flush=True)
            if args.json:
                args.json.write_text(json.dumps(report, indent=2) + "\n")
    failed = [f"{r['name']} ({r['against']}, {r['setting']}): {r['failed']}" for r in report["rows"] if r.get("failed")]
    if failed:
        sys.exit("FAILED\n" + "\n".join(failed))


def arguments():
    p = argparse.ArgumentParser(prog="bench/run", description=__doc__.splitlines()[0])
    p.add_argument("--rows", default="", help="rows to measure, separated by commas (default: all)")
    p.add_argument("--quick", action="store_true", help="tiny sizes and one run: sees that everything works; its numbers mean nothing")
    p.add_argument("--runs", type=int, help="undisturbed rounds of each row (default: 5; quick: 1)")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the results there, after every row")
    p.add_argument("--settings", help="default, tuned, or both (default: default,tuned; quick: default)")
    p.add_argument("--others", type=float, metavar="SHARE",
                   help="the share of the machine that others may use in a round (default: 0.05; quick: 1)")
    p.add_argument("--threads", type=int, help="of PyTorch (default: as many as there are processors; quick: 1)")
    p.add_argument("--device", default="cpu", help="where PyTorch computes (default: %(default)s); lmkit's engine is GOMLX_BACKEND's")
    p.add_argument("--without", default="", help="rows to leave out, separated by commas")
    p.add_argument("--against", metavar="REF", help="compare with lmkit at this commit, in turns, in place of Python's tools")
    p.add_argument("--ours-only", action="store_true", help="lmkit's side alone, without Python: JSON lines")
    p.add_argument("--ours", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    p.add_argument("--then", type=pathlib.Path, help=argparse.SUPPRESS)
    args = p.parse_args()
    args.settings = (args.settings or ("default" if args.quick or args.against else "default,tuned")).split(",")
    if not set(args.settings) <= {"default", "tuned"}:
        p.error("--settings: there are default and tuned")
    if args.quick and not args.threads:
        args.threads = 1
    if args.runs is None:
        args.runs = 1 if args.quick else 5
    if args.others is None:
        args.others = 1.0 if args.quick else 0.05
    if args.runs < 1:
        p.error("--runs: at least 1")
    return args


class Benchmark:
    def __init__(self, args, work):
        self.args, self.work, self.rates = args, work, {}

    def prepare(self):
        command = [self.args.ours, "--dir", self.work, "--rows", self.args.rows]
        _, error = self.run(command + ["--quick"] * self.args.quick + ["prepare"], {})
        if error:
            sys.exit(error)
        without = self.args.without.split(",")
        self.rows = [r for r in json.loads((self.work / "rows.json").read_text()) if r["name"] not in without]
        if not self.args.quick and self.args.device == "cpu":
            out, error = self.run([self.args.ours, "rates"], {})
            if error:
                sys.exit(error)
            self.rates = json.loads(out)
        if self.args.against:
            for row in self.rows:
                row["peers"] = [self.args.against]

    def describe(self):
        return self.processor() + self.sides()

    def processor(self):
        """What the rows' floors are computed from."""
        if not self.rates:
            return ""
        m = machine()
        return (f"{m['processors']} processors, {m['processor']}: products of matrices at {self.rates['gflops']:.0f} GFLOP/s, "
                f"memory read at {self.rates['gbytes']:.1f} GB/s\n")

    def sides(self):
        if self.args.against:
            return f"lmkit as it is, with lmkit at {self.args.against} as the peer; both tune themselves, as the command does"
        return ("default: both as they come; lmkit tunes itself, as its command does (LMKIT_TUNE=off bench/run: without)\n"
                "tuned: the peer with GLIBC_TUNABLES=" + ALLOCATOR["GLIBC_TUNABLES"] + ", too")

    def settings(self, who, setting):
        """The environment of a process."""
        return ALLOCATOR if who != "lmkit" and setting == "tuned" else {}

    def measure(self, row):
        """The lines of a row: one for each peer and setting."""
        whos = ["lmkit"] + row["peers"]
        kept = {(s, who): [] for s in self.args.settings for who in whos}
        if row["kind"] in ("start", "memory") and not row.get("cold") and not self.args.quick:
            self.round(row, whos, self.args.settings[0], {})  # what is kept on disk is there then, for all
        failed, discarded, tried = {}, dict.fromkeys(self.args.settings, 0), 0
        while tried < 3 * self.args.runs and any(len(kept[s, "lmkit"]) < self.args.runs for s in self.args.settings):
            tried += 1
            for setting in self.args.settings:
                if len(kept[setting, "lmkit"]) == self.args.runs:
                    continue
                found = self.round(row, whos, setting, failed)
                if any(f["others"] > self.args.others for f in found.values()):
                    discarded[setting] += 1
                    continue
                for who, f in found.items():
                    kept[setting, who].append(f)
            if any((s, "lmkit") in failed for s in self.args.settings):
                break
        lines = []
        for setting in self.args.settings:
            for who in row["peers"] or [None]:
                why = failed.get((setting, "lmkit")) or failed.get((setting, who))
                lines.append(self.line(row, who, setting, kept, discarded[setting], why))
        return lines

    def round(self, row, whos, setting, failed):
        """One process of each, in turn; what differs from lmkit's values has failed and is left out."""
        found = {}
        for who in whos:
            if (setting, who) in failed:
                continue
            command = [self.args.ours, "--dir", self.work, "measure", row["name"]]
            if who == self.args.against:
                command[0] = self.args.then
            elif who != "lmkit":
                command = [sys.executable, HERE / "peers.py", "--dir", self.work, "--peer", who, row["name"]]
                command += ["--threads", self.args.threads] if self.args.threads else []
                command += ["--device", self.args.device]
            out, error = self.run(command, self.settings(who, setting))
            if not error:
                found[who] = json.loads(out.splitlines()[-1])
                found[who]["differences"], error = differences(row, found["lmkit"]["values"], found[who]["values"])
            if error:
                failed[setting, who] = error
                found.pop(who, None)
                print(f"{row['name']}: {who} ({setting}): {error}", file=sys.stderr, flush=True)
                if who == "lmkit":
                    return {}
        return found

    def run(self, command, env):
        """Standard output, and what went wrong."""
        ours = ("GLIBC_TUNABLES", "XLA_FLAGS") if self.args.device == "cpu" else ("GLIBC_TUNABLES",)  # a GPU's flags say where CUDA is
        clean = {k: v for k, v in os.environ.items() if k not in ours}
        try:
            done = subprocess.run([str(c) for c in command], env=clean | env, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return "", f"took longer than {TIMEOUT} s"
        if done.returncode:
            return "", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return done.stdout, None

    def line(self, row, who, setting, kept, discarded, failed):
        ours, theirs = kept[setting, "lmkit"], kept.get((setting, who), [])
        line = {"name": row["name"], "against": who, "setting": setting, "unit": row["unit"], "ours": None, "peer": None, "ratio": None,
                "runs_kept": min(len(ours), len(theirs)) if who else len(ours), "runs_discarded": discarded,
                "settings": self.settings(who, setting)}
        if failed:
            return line | {"failed": failed}
        if ours:
            line["ours"] = summary(row, ours)
            line["floor"] = self.floor(row, ours)
        if theirs:
            line["peer"] = summary(row, theirs)
            line["differences"] = {k: max(t["differences"][k] for t in theirs) for k in theirs[0]["differences"]}
            if ours and not self.args.quick:  # tiny work measures what surrounds it
                a, b = line["ours"]["median"], line["peer"]["median"]
                line["ratio"] = a / b if faster_is_more(row["unit"]) else b / a
        return line


    def floor(self, row, runs):
        """What the row's unit would be if nothing but the products, or the weights' reading, took time; None: not known."""
        gflop = row.get("gflop") or statistics.median(r.get("gflop", 0) for r in runs)
        if not self.rates or row["unit"] == "MiB":
            return None
        seconds = max(gflop / self.rates["gflops"], row.get("gbytes", 0) / self.rates["gbytes"])
        if not seconds:
            return None
        return 1 / seconds if faster_is_more(row["unit"]) else seconds * (1000 if row["unit"] == "ms" else 1)


def differences(row, ours, theirs):
    """How far the two sides are apart, and what is further than the row allows."""
    found, wrong = {}, []
    for name, bound in (row.get("same") or {}).items():
        a, b = ours.get(name, []), theirs.get(name, [])
        if len(a) != len(b) or not a or not all(map(math.isfinite, a + b)):
            return found, f"{name}: {len(a)} values of lmkit's and {len(b)} of the peer's cannot be compared"
        apart = [abs(x - y) for x, y in zip(a, b)]
        if "most" in bound:
            d, most = max(a + b), bound["most"]
        elif "relative" in bound:
            d, most = math.hypot(*apart) / max(1e-30, math.hypot(*b)), bound["relative"]
        else:
            d, most = max(apart), bound.get("absolute", 0)
        found[name] = d
        if d > most:
            wrong.append(f"{name} {'is' if 'most' in bound else 'differs by'} {d:.2g}, {most:.2g} is allowed")
    return found, "; ".join(wrong) or None


def summary(row, runs):
    """Over runs: the median of their medians, and the best sample of all."""
    best = max if faster_is_more(row["unit"]) else min
    notes = sorted({r["note"] for r in runs if "note" in r})
    found = {"median": statistics.median(statistics.median(r["samples"]) for r in runs), "best": best(s for r in runs for s in r["samples"]),
             "runs": [statistics.median(r["samples"]) for r in runs], "others": max(r["others"] for r in runs),
             "first_seconds": statistics.median(r["first_seconds"] for r in runs), "peak_mib": max(r["peak_mib"] for r in runs)}
    return found | ({"notes": notes} if notes else {})


def faster_is_more(unit):
    return unit.endswith("/s")


HEADER = (f"{'row':17} {'against':24} {'setting':8} {'unit':9} {'lmkit':>9} {'(best)':>9} {'peer':>9} {'(best)':>9} {'ratio':>6} {'floor':>9}  kept")


def show(line):
    def number(x):
        return "" if x is None else f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"

    def of(side, key):
        return number(line[side] and line[side][key])

    head = f"{line['name']:17} {line['against'] or '-':24} {line['setting']:8} {line['unit']:9}"
    if line.get("failed"):
        return f"{head} FAILED: {line['failed']}"
    ratio = f"{line['ratio']:.2f}x" if line["ratio"] else ""
    runs = f"{line['runs_kept']} of {line['runs_kept'] + line['runs_discarded']}"
    if not line["runs_kept"]:
        runs += ": others were busy"
    return (f"{head} {of('ours', 'median'):>9} {of('ours', 'best'):>9} {of('peer', 'median'):>9} {of('peer', 'best'):>9} {ratio:>6} "
            f"{number(line.get('floor')):>9}  {runs}")


def machine():
    model = [x.partition(":")[2].strip() for x in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
    return {"processor": model[0] if model else platform.processor(), "processors": os.cpu_count(), "system": platform.system()}


if __name__ == "__main__":
    main()
