"""The order in which images reach the disk, as strace(1) sees it: all that a name stands for is there before the
name is, so that a host that fails at any moment leaves a whole image or none."""
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import time

import hosts
from checkpoint_command_tests import child_called, counter, goes_on, status
from hosts import LIMIT_SECONDS

PARTS = {"config", "contents", "contents-table", "manifest", "memory", "state"}
CALLS = "fsync,renameat2,renameat,rename,write,pwrite64,pwritev,copy_file_range,sendfile,ftruncate"
# [PID] CALL(ARGUMENTS; files as FD<PATH>, or several lines where another process came between.
LINE = re.compile(r"^(?:\[pid +)?(\d+)?\]? *(?:[\d:.]+ )?(\w+)\((.*)$")
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("checkpoint", CASES, build, options)


def calls_of(trace):
    """(name, paths of its descriptors, arguments) in order of their beginning."""
    found = []
    for line in pathlib.Path(trace).read_text(errors="replace").splitlines():
        if match := LINE.match(line):
            found.append((match[2], re.findall(r"\d+<(/[^>]*)>", match[3]), match[3]))
    return found


def check_order(calls, parent, named):
    """Files and their directory, then the name, then the directory with the name. What the image is called before,
    and how many calls that took."""
    renames = [i for i, (name, _, arguments) in enumerate(calls)
               if name.startswith("rename") and f'"{named}"' in arguments]
    assert len(renames) == 1, (named, calls)
    at = renames[0]
    before = re.findall(r'"([^"]*)"', calls[at][2])[0]
    made = f"{parent}/{before}"
    synced = [paths[0] for name, paths, _ in calls[:at] if name == "fsync"]
    assert {f"{made}/{part}" for part in PARTS} | {made} <= set(synced), (made, synced)
    for part in PARTS:
        own = [i for i, (name, paths, _) in enumerate(calls[:at]) if f"{made}/{part}" in paths]
        assert calls[own[-1]][0] == "fsync", (part, [calls[i] for i in own])
    own = [paths for name, paths, _ in calls[at:] if name == "fsync"]
    assert any(str(parent) in paths for paths in own), (parent, calls[at:])


@contextlib.contextmanager
def traced(trace, *pids, command=(), environment=None):
    """What these processes, and the command, call meanwhile."""
    process = subprocess.Popen(["strace", "-I2", "-y", "-e", f"trace={CALLS}", "-o", trace, *(f"-p{pid}" for pid in pids),
                                *command], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        for _ in pids if not command else ():  # A command begins behind that, and nothing is said.
            line = process.stderr.readline()
            assert "attached" in line, line
        yield
    finally:
        process.terminate()  # It lets go of the processes.
        process.communicate(timeout=LIMIT_SECONDS)


@case
def an_image_is_on_the_disk_before_it_has_its_name(host):
    with tempfile.TemporaryDirectory() as scratch:
        process, trace = counter(host), f"{scratch}/trace"
        with traced(trace, process.pid, command=host.command("checkpoint", "box", "-o", f"{scratch}/image",
                                                             "--leave-running"), environment=host.environment):
            host.until(lambda: "image" in os.listdir(scratch))
            time.sleep(0.1)
        check_order(calls_of(trace), pathlib.Path(scratch).resolve(), "image")


@case
def an_image_of_its_own_is_on_the_disk_before_it_has_its_name(host):
    """Those that a sandbox keeps of itself, with the helper process that waits for the disk."""
    with tempfile.TemporaryDirectory() as scratch:
        keep, trace = pathlib.Path(scratch, "keep").resolve(), f"{scratch}/trace"
        process = counter(host, f"--autosave=0.3s:{keep}", "--autosave-whole")

        def last():
            with contextlib.suppress(OSError):
                return int(os.readlink(keep / "latest"))
            return 0

        host.until(last)
        with traced(trace, process.pid, child_called(process.pid, "usk-disk")):
            first = last()
            host.until(lambda: last() >= first + 3)
            time.sleep(0.1)
        process.kill()  # The next image would come while the directory goes.
        process.wait(LIMIT_SECONDS)
        check_order(calls_of(trace), keep, f"{first + 2:06}")


@case
def a_disk_that_fails_leaves_no_image(host):
    """Whichever file it is that does not get there: the sandbox runs on, and the name is not taken."""
    with tempfile.TemporaryDirectory() as scratch:
        process = counter(host)
        for call, when in (("fsync", 1), ("fsync", len(PARTS)), ("fsync", len(PARTS) + 1), ("renameat2", 1)):
            done = subprocess.run(["strace", "-o", "/dev/null", "-e", f"inject={call}:error=EIO:when={when}",
                                   *host.command("checkpoint", "box", "-o", f"{scratch}/image")], env=host.environment,
                                  capture_output=True, text=True, timeout=LIMIT_SECONDS)
            assert done.returncode == 125 and "Input/output error" in done.stderr, (call, when, done)
            assert done.stderr.count("\n") == 1 and os.listdir(scratch) == [], (done.stderr, os.listdir(scratch))
            assert goes_on(process) and status(host) == ["running"], (call, when)
