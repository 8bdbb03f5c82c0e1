#!/usr/bin/env python3
"""`./dev bench`: calls and programs inside against native, in one run; a table, build/bench.json and
a chart beside it.

The sides take turns row by row, so that a busy machine burdens all; each value is the median of the
turns.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import sys

import chart
import checkpoint
import hand_off
import policy
import programs
import sides
from sides import ROOT, USK

# Inside divided by native, as the budget wants it; rows without a goal are measured all the same.
GOALS = {
    "getpid": 0.1, "gettid": 0.1, "getuid": 0.1, "getppid": 1.5, "clock_gettime-vdso": 1.2,
    "stat-root": 1.0, "open-close-root": 1.0, "pread-4k": 1.5, "pwrite-4k": 1.5,
    "pipe-ping-pong": 1.0, "futex-ping-pong": 1.0, "process-ping-pong": 1.5,
    "tcp-ping-pong": 1.0, "fork-wait": 1.3,
    "fork-wait-100m": 0.7, "vfork-exec": 1.2, "mmap-touch-munmap": 1.2, "signal-to-self": 0.5,
    "thread-create-join": 1.5, "first-touch-16m": 1.0, "getppid-one-cpu": 30,
    "single-step": 1.9,
    **{name: p.goal for name, p in programs.PROGRAMS.items() if p.goal},
}
# Of rows that are no ratio: unit and most there should be.
ABSOLUTE = {"kernel-rss": ("bytes", 8 << 20), "kernel-pss": ("bytes", None),
            "kernel-private": ("bytes", None), "idle-cpu": ("%", 0.0)}
MICRO = ("calls_bench", "processes_bench", "tracing_bench")


def parse(argv):
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows with this in their name")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--platform", default=None, help="as for usk run")
    parser.add_argument("--native", action="store_true", help="native only")
    parser.add_argument("--peers", action="store_true", help="bwrap and runsc, too")
    parser.add_argument("--checkpoint", action="store_true",
                        help="only: how long saving, restoring and copying take")
    parser.add_argument("--hand-off", action="store_true",
                        help="only: how hand-offs hold up under threads, think times and load")
    parser.add_argument("--policy", action="store_true",
                        help="only: what a policy of a thousand rules adds to an open")
    parser.add_argument("--json", default=str(ROOT / "build/bench.json"), metavar="FILE",
                        help="the chart goes beside it")
    return parser.parse_args(argv)


class Table:
    """Row -> side -> the values of each turn."""

    def __init__(self, patterns):
        self.patterns = patterns
        self.values = {}

    def wants(self, row):
        return not self.patterns or any(pattern in row for pattern in self.patterns)

    def add(self, row, side, value):
        if value is not None and self.wants(row):
            self.values.setdefault(row, {}).setdefault(side.name, []).append(value)

    def rows(self):
        for row, by_side in self.values.items():
            unit, goal = ABSOLUTE.get(row, ("ns", GOALS.get(row)))
            result = {"row": row, "unit": unit, "goal": goal}
            result |= {side: statistics.median(values) for side, values in by_side.items()}
            if unit == "ns" and result.get("native"):
                result["ratio"] = {side: result[side] / result["native"] for side in by_side
                                   if side != "native"}
            yield result


def measure_micro(table, side, name):
    for pattern in table.patterns or [None]:
        out = side.run([ROOT / "build/release/bench" / name, *([pattern] if pattern else [])])
        for line in (out or "").splitlines():
            row, value = line.split()
            table.add(row, side, float(value))


def take_turn(table, all_sides):
    for name in MICRO:
        for side in all_sides:
            measure_micro(table, side, name)
    if table.wants("getppid-one-cpu"):
        for side in all_sides:
            table.add("getppid-one-cpu", side, programs.one_cpu(side))
    for row, program in programs.PROGRAMS.items():
        if table.wants(row):
            for side in all_sides:
                table.add(row, side, program.measure(side))


def measure_kernel(table, side):
    """What is no matter of turns: memory and idle time of Usk itself."""
    if any(table.wants(row) for row in ("kernel-rss", "kernel-pss", "kernel-private")):
        for row, value in programs.kernel_memory().items():
            table.add(row, side, value)
    if table.wants("idle-cpu"):
        table.add("idle-cpu", side, programs.idle(side))


def show(value, unit):
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / (1 << 20):.1f} MiB"
    if unit == "%":
        return f"{value:.2f} %"
    for name, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {name}"
    return f"{value:.1f} ns"


def print_table(rows, names):
    others = [name for name in names if name != "native"]
    print(f"{'row':20}" + "".join(f" {name:>10}" for name in names) +
          "".join(f" {'/ native' if name == 'inside' else name + '/n':>9}" for name in others) +
          f" {'goal':>7}")
    for row in rows:
        unit, ratio = row["unit"], row.get("ratio", {})
        goal = row["goal"]
        goal = "" if goal is None else show(goal, unit) if unit != "ns" else f"{goal:g}"
        print(f"{row['row']:20}" + "".join(f" {show(row.get(n), unit):>10}" for n in names) +
              "".join(f" {f'{ratio[n]:.2f}' if n in ratio else '-':>9}" for n in others) +
              f" {goal:>7}")


def main(argv):
    options = parse(argv)
    if not options.native and not USK.exists():
        sys.exit("bench: there is no build/release/usk; --native measures without it")
    if options.hand_off:
        return hand_off.main(sides.native(), sides.inside(options.platform), options.json)
    if options.policy:
        return policy.main(options.turns, options.platform, options.json)
    if options.checkpoint:
        return checkpoint.main(options.turns, options.json)
    usk = sides.inside(options.platform)
    all_sides = [sides.native()] + ([] if options.native else [usk])
    all_sides += sides.peers() if options.peers else []
    table = Table(options.rows)
    for _ in range(options.turns):
        take_turn(table, all_sides)
    if not options.native:
        measure_kernel(table, usk)
    rows = list(table.rows())
    print_table(rows, [side.name for side in all_sides])
    output = pathlib.Path(options.json)
    output.write_text(json.dumps({
        "machine": platform.node(), "kernel": platform.release(), "cpus": os.cpu_count(),
        "turns": options.turns, "platform": options.platform or "auto",
        "load": os.getloadavg()[0], "rows": rows}, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".svg").write_text(chart.draw(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
