"""Edges: in a run of the guest tests each edge of the run-state graph is taken, in both orders.

src/kernel/run/edges.def lists them. One that no test takes fails, and so does one that is taken but
not listed.
"""
import fnmatch
import pathlib
import re
import tempfile
import time

from outcome import Outcome, run_limited
from paths import HERE

LIMIT_SECONDS = 60
ORDERS = ["4.8", "3.5"]
PROGRAMS = ["clone", "core", "exec", "fork", "ptrace", "ptrace_attach", "ptrace_event", "ptrace_seccomp", "restart",
            "seccomp_filter", "seccomp_notify", "seccomp_order", "seccomp_trace", "signal",
            "syscall_dispatch", "thread", "wait", "run_state"]
EDGE = re.compile(r'EDGE\("([^"]+)", (\w+), (\w+),')


def jobs(build, options):
    for order in ORDERS:
        yield f"edges.{order}", lambda o=order: run(o, build, options)


def listed(order):
    text = (HERE.parent / "src/kernel/run/edges.def").read_text()
    return {(a, b) for where, a, b in EDGE.findall(text) if where in ("both", order)}


def run(order, build, options):
    name = f"edges.{order}"
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if not (build / "usk").exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    taken = set()
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "edges"
        for program in PROGRAMS:
            # What a program makes of the other order is not asked here.
            run_limited([build / "usk", "run", "--run-state-edges", file, "--seccomp-stop-order", order,
                         "--root", "/", "--tmpfs", "/tmp", "--ro", build / "guest", "--cwd", "/", "--",
                         build / f"guest/{program}_test"], LIMIT_SECONDS)
            if file.exists():
                taken |= {tuple(line.split()) for line in file.read_text().splitlines()}
                file.unlink()
    outcome = Outcome(seconds=time.monotonic() - begin)
    known = listed(order)
    outcome.passed = len(known & taken)
    outcome.failed = len(known ^ taken)
    outcome.notes += [f"FAIL {name}: no test takes {a} -> {b}" for a, b in sorted(known - taken)]
    outcome.notes += [f"FAIL {name}: {a} -> {b} is not listed" for a, b in sorted(taken - known)]
    return outcome
