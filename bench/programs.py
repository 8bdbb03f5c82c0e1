"""Rows of whole programs: how long each takes from start to end, on the same data on every side.

What a program writes goes to /tmp, which is fresh in a sandbox; natively it is removed again.
"""
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import data
from sides import ROOT, USK

IDLE_SECONDS = 3
IN_NEW_DIRECTORY = 'd=$(mktemp -d /tmp/bench.XXXXXX); trap "rm -r $d" EXIT; '


class Program:
    def __init__(self, goal, script, on=None, repeat=1, tool=None):
        self.goal = goal
        self.script = script
        self.on = on  # The data it works on; its directory, or $1 when it is a file.
        self.repeat = repeat
        self.tool = tool

    def measure(self, side):
        """Nanoseconds, or None."""
        if self.tool and not shutil.which(self.tool):
            return None
        at = data.ensure(self.on) if self.on else None
        directory = at if at and at.is_dir() else None
        command = ["sh", "-c", self.script, "sh", *([at] if at and not directory else [])]
        times = []
        for _ in range(self.repeat):
            begin = time.perf_counter_ns()
            if side.run(command, cwd=directory) is None:
                return None
            times.append(time.perf_counter_ns() - begin)
        return float(statistics.median(times))


PROGRAMS = {
    "start-up": Program(None, "exit 0", repeat=10),
    "python-start": Program(1.5, "for i in 1 2 3 4 5 6 7 8 9 10; do python3 -c pass; done",
                            tool="python3"),
    "git-status-10k": Program(1.5, "git status --porcelain && git status --porcelain", on="git",
                              tool="git"),
    "make-50-j2": Program(1.3, IN_NEW_DIRECTORY + "make -s -j2 O=$d", on="project", tool="make"),
    "find-100k": Program(1.5, "find . -size +100k", on="tree"),
    "tar-source": Program(1.3, "tar -cf - . | cat >/dev/null", on="source"),
    "sqlite-100k": Program(1.3, IN_NEW_DIRECTORY + "sqlite3 $d/db <$1", on="rows.sql",
                           tool="sqlite3"),
    "zstd-100m": Program(1.05, "zstd -q -c <$1 >/dev/null", on="100m", tool="zstd"),
    "xz-16m": Program(1.05, "xz -1 -c <$1 >/dev/null", on="16m", tool="xz"),
}


def one_cpu(side):
    """getppid(2) where no CPU is free for the kernel process."""
    cpu = str(max(os.sched_getaffinity(0)))
    out = side.run([ROOT / "build/release/bench/calls_bench", "getppid"],
                   before=["taskset", "-c", cpu])
    return float(out.split()[1]) if out else None


class Sleeper:
    """A sandbox that runs sleep(1), and the processes of it."""

    def __init__(self, side):
        self.runtime = tempfile.mkdtemp(prefix="usk-bench-")
        self.process = subprocess.Popen([str(a) for a in (*side.prefix, "sleep", "100")],
                                        env=dict(os.environ, XDG_RUNTIME_DIR=self.runtime),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        time.sleep(1.5)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.runtime)

    def tree(self):
        """The process and all that descend from it."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
                parents[int(entry.name)] = int(status.rsplit(")", 1)[1].split()[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.tree():
            text = pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
            total += int(text.split()[0])
        return total / 1e9


def memory_field(pid, field):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1]) * 1024.0


def kernel_memory():
    """Row -> bytes, of the kernel process."""
    side_prefix = [USK, "run", "--"]

    class Plain:
        prefix = side_prefix
    with Sleeper(Plain) as sleeper:
        pid = sleeper.process.pid
        return {"kernel-rss": memory_field(pid, "Rss"), "kernel-pss": memory_field(pid, "Pss"),
                "kernel-private": memory_field(pid, "Private_Dirty")}


def idle(side):
    """Percent of a CPU that a sandbox takes in which nothing happens."""
    with Sleeper(side) as sleeper:
        before = sleeper.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        return 100 * (sleeper.cpu_seconds() - before) / IDLE_SECONDS
