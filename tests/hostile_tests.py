"""Hostile guests: a program that attacks the stub it runs in, on every platform of the sandbox.

The kernel may kill what attacks it or ignore it. It must go on serving the others, end in time,
leave no process behind, and let no host call through ("ESCAPE" in the program's output).
"""
import fnmatch
import sys
import time

from outcome import Outcome, run_limited
from paths import HERE

LIMIT_SECONDS = 60
PLATFORMS = ["ptrace", "trap"]


def jobs(build, options):
    for platform in PLATFORMS:
        yield f"hostile.{platform}", lambda p=platform: run(p, build, options)


def run(platform, build, options):
    name = f"hostile.{platform}"
    program = build / "guest/hostile"
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if not (build / "usk").exists() or not program.exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    done = run_limited([sys.executable, HERE / "leftovers.py", build / "usk", "run",
                        f"--platform={platform}", "--pids", "200", "--ro", program.parent, "--", program],
                       LIMIT_SECONDS)
    outcome = Outcome(seconds=time.monotonic() - begin)
    lines = done.output.splitlines()
    bad = [line for line in lines if line.startswith(("ESCAPE", "FAILED"))]
    if done.code != 0 or "survived" not in lines or bad:
        outcome.failed = 1
        outcome.notes += bad or lines[-5:]
        outcome.notes.append(f"FAIL {name}: code {done.code} {done.errors[-300:]}")
    else:
        outcome.passed = 1
    return outcome
