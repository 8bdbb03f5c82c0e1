"""`./dev bench --hand-off`: how long a call takes with several threads that call, with time to think
in between, and with other work on the machine's processors; natively and inside."""
import json
import os
import pathlib
import subprocess

from sides import ROOT

THREADS = (1, 2, 8, 64)
THINK_NS = (0, 10_000, 50_000, 1_000_000)
MILLISECONDS = 250
FIELDS = ("mean", "p50", "p99", "max", "calls")


class Hogs:
    """Other work, on so many processors."""

    def __init__(self, count):
        cpus = sorted(os.sched_getaffinity(0))[:count]
        self.processes = [subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c",
                                            "while :; do :; done"]) for cpu in cpus]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def measure(side, threads, think):
    program = ROOT / "build/release/bench/hand_off_bench"
    out = side.run([program, threads, think, MILLISECONDS], timeout=60)
    return dict(zip(FIELDS, map(float, out.split()))) if out else None


def short(ns):
    return f"{ns / 1000:.2f}" if ns < 100_000 else f"{ns / 1000:.0f}"


def cell(case):
    """Median time of a call inside, and how many times as many the host makes in the same time."""
    if not case["native"] or not case["inside"]:
        return "-"
    fewer = case["native"]["calls"] / case["inside"]["calls"]
    return f"{short(case['inside']['p50'])} ({fewer:.1f})"


def matrix(cases):
    """Markdown: a row for each load and number of threads, a column for each time to think."""
    yield "| busy CPUs | threads | " + " | ".join(f"{t // 1000} us" for t in THINK_NS) + " |"
    yield "| ---: | ---: |" + " ---: |" * len(THINK_NS)
    for at in range(0, len(cases), len(THINK_NS)):
        row = cases[at:at + len(THINK_NS)]
        yield (f"| {row[0]['busy_cpus']} | {row[0]['threads']} | " +
               " | ".join(cell(case) for case in row) + " |")


def main(native, inside, output):
    cpus = len(os.sched_getaffinity(0))
    cases = []
    print("us a call, median (99th percentile)")
    print(f"{'busy CPUs':>9} {'threads':>7} {'think us':>8} {'native':>18} {'inside':>20}")
    for busy in dict.fromkeys((0, 1, cpus)):
        with Hogs(busy):
            for threads in THREADS:
                for think in THINK_NS:
                    case = {"busy_cpus": busy, "threads": threads, "think_ns": think,
                            "native": measure(native, threads, think),
                            "inside": measure(inside, threads, think)}
                    cases.append(case)
                    shown = [f"{short(v['p50'])} ({short(v['p99'])})" if v else "-"
                             for v in (case["native"], case["inside"])]
                    print(f"{busy:>9} {threads:>7} {think // 1000:>8} {shown[0]:>18} {shown[1]:>20}",
                          flush=True)
    print("\nInside: us a call, median (native calls in the same time / those inside)")
    print("\n".join(matrix(cases)))
    path = pathlib.Path(output)
    path = path.with_name(f"{path.stem}-hand-off.json")
    path.write_text(json.dumps({"cpus": cpus, "load": os.getloadavg()[0], "unit": "ns", "milliseconds": MILLISECONDS,
                                "cases": cases}, indent=1) + "\n", encoding="utf-8")
    return 0
