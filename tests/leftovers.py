#!/usr/bin/env python3
"""Runs a command and tells whether it left processes behind.

usage: leftovers.py COMMAND...   exits with the command's code, or 99 and a message on stderr.
"""
import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 3


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def describe(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(")")[0] + ")"
    except OSError:
        return str(pid)


def main():
    # Orphans come to us, wherever in the tree they were.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("prctl")
    process = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    code = process.wait()
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return code if code >= 0 else 128 - code
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    left = children()
    print("left behind: " + ", ".join(describe(pid) for pid in left), file=sys.stderr)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return 99


if __name__ == "__main__":
    sys.exit(main())
