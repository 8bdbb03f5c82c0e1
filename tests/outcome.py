"""What running a test program gave, and how a program is run with a time limit."""
import dataclasses
import os
import signal
import subprocess
import time

import autosave


@dataclasses.dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    notes: list = dataclasses.field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def counts(self):
        return f"{self.passed:4} passed {self.failed:3} failed {self.skipped:3} skipped"


OUT_OF_TIME = -1


@dataclasses.dataclass
class Finished:
    code: int  # As a shell says it, or OUT_OF_TIME.
    output: str
    errors: str
    seconds: float


def run_limited(command, limit, **more):
    """Runs `command` in a process group that is killed whole after `limit` seconds."""
    begin = time.monotonic()
    more.setdefault("stdin", subprocess.DEVNULL)
    more.setdefault("stderr", subprocess.PIPE)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **more)
    try:
        output, errors = process.communicate(timeout=autosave.limit(limit))
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            output, errors = process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
        code = OUT_OF_TIME
    return Finished(code, output.decode(errors="replace"), (errors or b"").decode(errors="replace"),
                    time.monotonic() - begin)
