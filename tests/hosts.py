"""What the tests of the command share: cases by name, and a user's session with sandboxes in it."""
import contextlib
import fnmatch
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from outcome import Outcome

LIMIT_SECONDS = 20


def case_jobs(group, cases, build, options):
    """A job for each function of `cases`, which gets a Host and may return what went wrong."""
    for name, function in cases.items():
        yield f"{group}.{name}", lambda n=name, f=function: run_case(n, f, build, options)


def run_case(name, function, build, options):
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if not (build / "usk").exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    host = Host(build)
    try:
        problem = function(host)
    except (AssertionError, LookupError, OSError, subprocess.SubprocessError, ValueError) as error:
        problem = repr(error)
    finally:
        host.clean()
    seconds = time.monotonic() - begin
    if problem:
        return Outcome(failed=1, seconds=seconds, notes=[f"FAIL {name}: {problem}"])
    return Outcome(passed=1, seconds=seconds)


def cost_of_idling(kernel):
    """What is wrong with the processor time of a kernel process whose sandbox only waits."""
    time.sleep(0.5)

    def ticks():
        with open(f"/proc/{kernel}/stat", encoding="utf-8") as file:
            return sum(int(n) for n in file.read().rsplit(")", 1)[1].split()[11:13])

    def wakeups():
        with open(f"/proc/{kernel}/status", encoding="utf-8") as file:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.M)[1])

    before = ticks(), wakeups()
    time.sleep(2)
    after = ticks(), wakeups()
    return None if before == after else f"idle, it used {after[0] - before[0]} ticks and woke " \
        f"{after[1] - before[1]} times"


class Host:
    """A user's session: a runtime directory and the sandboxes started in it."""

    def __init__(self, build):
        self.usk_path = str(build / "usk")
        self.runtime = tempfile.mkdtemp(prefix="usk-control-")
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime)
        self.started = []
        self.run_flags = []  # Of each usk run.

    def command(self, *arguments):
        flags = self.run_flags if arguments[:1] == ("run",) else []
        return [self.usk_path, *arguments[:1], *flags, *arguments[1:]]

    def usk(self, *arguments, code=0, **more):
        """Runs a command to its end, which must have this code. Its output and errors."""
        done = self.run(*arguments, **more)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout, done.stderr

    def run(self, *arguments, limit=LIMIT_SECONDS, **more):
        """The same, whatever its code is."""
        if "input" not in more:
            more["stdin"] = subprocess.DEVNULL
        return subprocess.run(self.command(*arguments), env=self.environment, text=True,
                              capture_output=True, timeout=limit, **more)

    def refused(self, *arguments, code=125, saying="", **more):
        """Fails with this code and one line that says so."""
        output, errors = self.usk(*arguments, code=code, **more)
        assert output == "" and errors.startswith("usk: ") and errors.count("\n") == 1, errors
        assert saying in errors, errors

    def start(self, *arguments):
        process = subprocess.Popen(self.command(*arguments), env=self.environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def sandbox(self, *command, name="box", flags=()):
        """A running sandbox that has begun to serve."""
        process = self.start("run", "--name", name, *flags, "--", *command)
        self.until(lambda: any(s["name"] == name for s in self.list()))
        return process

    def list(self):
        return json.loads(self.usk("list", "--json")[0])

    def until(self, condition):
        limit = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < limit, "out of time"
            time.sleep(0.02)

    def entries(self):
        return sorted(set(os.listdir(os.path.join(self.runtime, "usk"))) - {"lock"})

    def clean(self):
        for process in self.started:
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.runtime)
