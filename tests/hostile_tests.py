"""Hostile guests: a program that attacks the stub it runs in, on every platform of the sandbox.

The kernel may kill what attacks it or ignore it. It must go on serving the others, end in time,
leave no process behind, and let no host call through: neither does the program see one ("ESCAPE"
in its output), nor does this observer, who has a process, files and a socket outside.
"""
import fnmatch
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from outcome import Outcome, run_limited
from paths import HERE

LIMIT_SECONDS = 240
PLATFORMS = ["ptrace", "trap"]


class Outside:
    """What a host call of the guest's would change."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="usk-outside-")
        self.path = pathlib.Path(self.directory.name)
        (self.path / "kept").write_text("kept")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path / "socket"))
        self.socket.listen()
        self.socket.setblocking(False)
        self.process = subprocess.Popen(["sleep", "1000"])
        self.before = self.seen()
        return self

    def seen(self):
        kept = self.path / "kept"
        facts = kept.lstat()
        return (sorted(p.name for p in self.path.iterdir()), kept.read_text(), facts.st_mode,
                facts.st_nlink, facts.st_mtime_ns)

    def changes(self):
        if self.process.poll() is not None:
            yield f"ESCAPE: a process outside ended with {self.process.returncode}"
        now = self.seen()
        if now != self.before:
            yield f"ESCAPE: files outside were changed: {self.before} {now}"
        try:
            self.socket.accept()
            yield "ESCAPE: a socket outside was connected to"
        except BlockingIOError:
            pass

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self.directory.cleanup()


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
    with Outside() as outside:
        done = run_limited([sys.executable, HERE / "leftovers.py", build / "usk", "run",
                            f"--platform={platform}", "--pids", "200", "--ro", program.parent, "--",
                            program, "-v", str(outside.process.pid), str(outside.path)],
                           LIMIT_SECONDS)
        changes = list(outside.changes())
    outcome = Outcome(seconds=time.monotonic() - begin)
    lines = done.output.splitlines()
    bad = [line for line in lines if line.startswith(("ESCAPE", "FAILED"))] + changes
    # What a sanitizer says of the kernel process.
    bad += [line for line in done.errors.splitlines() if "Sanitizer" in line or "runtime error" in line]
    if done.code != 0 or "survived" not in lines or bad:
        outcome.failed = 1
        outcome.notes += bad or lines[-5:]
        outcome.notes.append(f"FAIL {name}: code {done.code} {done.errors[-300:]}")
    else:
        outcome.passed = 1
        if options.verbose:
            outcome.notes += lines
    return outcome
