#!/usr/bin/env python3
"""`./dev bench`: the benchmarks inside against native, in one run; a table and build/bench.json.

The two sides take turns, so that a busy machine burdens both; each row is the median of the turns.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
USK = ROOT / "build/release/usk"
# Inside divided by native, as the budget wants it; None: measured without a goal.
GOALS = {
    "getpid": 0.1, "gettid": 0.1, "getuid": 0.1, "getppid": 1.5, "clock_gettime-vdso": 1.2,
    "stat-root": 1.0, "open-close-root": 1.0, "pread-4k": 1.5, "pwrite-4k": 1.5,
    "pipe-ping-pong": 1.0, "futex-ping-pong": 1.0, "fork-wait": 1.3, "vfork-exec": 1.2,
    "mmap-touch-munmap": 1.2, "signal-to-self": 0.5, "thread-create-join": 1.5,
    "first-touch-16m": 1.0,
}


def parse(argv):
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows with this in their name")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--platform", default=None, help="as for usk run")
    parser.add_argument("--native", action="store_true", help="native only")
    parser.add_argument("--json", default=str(ROOT / "build/bench.json"), metavar="FILE")
    return parser.parse_args(argv)


def inside(options, command):
    flags = [f"--platform={options.platform}"] if options.platform else []
    return [USK, "run", *flags, "--root", "/", "--tmpfs", "/tmp", "--", *command]


def measure(command, pin):
    """Row -> nanoseconds, as the program prints them."""
    environment = dict(os.environ, **({"BENCH_PIN": "1"} if pin else {}))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    if done.returncode != 0:
        print(f"{' '.join(map(str, command))}: code {done.returncode}: {done.stderr[-300:]}",
              file=sys.stderr)
    rows = (line.split() for line in done.stdout.splitlines())
    return {name: float(value) for name, value in rows}


def measure_start(command):
    """The wall time of a whole run, best of a few to shut out the page cache."""
    times = []
    for _ in range(10):
        begin = time.perf_counter_ns()
        subprocess.run(command, check=False, capture_output=True, timeout=60)
        times.append(time.perf_counter_ns() - begin)
    return {"start-up": float(statistics.median(times))}


def turns(options):
    """Side -> row -> the values of each turn."""
    programs = sorted((ROOT / "build/release/bench").glob("*_bench"))
    values = {"native": {}, "inside": {}}
    for _ in range(options.turns):
        for program in programs:
            for pattern in options.rows or [None]:
                command = [program, pattern] if pattern else [program]
                # The ping-pongs are compared with the native ones on one CPU, which is their best.
                add(values["native"], measure(command, pin=True))
                if not options.native:
                    add(values["inside"], measure(inside(options, command), pin=False))
        if not options.rows or any(row in "start-up" for row in options.rows):
            add(values["native"], measure_start(["/bin/true"]))
            if not options.native:
                add(values["inside"], measure_start([USK, "run", "--", "/bin/true"]))
    return values


def add(into, row_values):
    for row, value in row_values.items():
        into.setdefault(row, []).append(value)


def show(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.1f} ns"


def main(argv):
    options = parse(argv)
    if not options.native and not USK.exists():
        sys.exit("bench: there is no build/release/usk; --native measures without it")
    values = turns(options)
    table = []
    print(f"{'row':22} {'native':>10} {'inside':>10} {'ratio':>7} {'goal':>5}")
    for row, native in values["native"].items():
        own = statistics.median(native)
        other = statistics.median(values["inside"][row]) if row in values["inside"] else None
        ratio = other / own if other else None
        goal = GOALS.get(row)
        table.append({"row": row, "native_ns": own, "inside_ns": other, "ratio": ratio,
                      "goal": goal})
        print(f"{row:22} {show(own):>10} {show(other) if other else '-':>10} "
              f"{f'{ratio:.2f}' if ratio else '-':>7} {goal if goal else '':>5}")
    pathlib.Path(options.json).write_text(json.dumps({
        "machine": platform.node(), "kernel": platform.release(), "cpus": os.cpu_count(),
        "turns": options.turns, "platform": options.platform or "auto", "rows": table}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
