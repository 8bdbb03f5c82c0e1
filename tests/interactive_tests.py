"""Interactive sessions: tests/programs/interactive/*.session, typed at a terminal.

A session is a list of lines: `$ COMMAND` starts the program, `> TEXT` types (with \\n, \\x03 and the
like), `< REGEX` waits until the terminal has shown it since the last wait, `size ROWS COLUMNS`
resizes the terminal, `kill` kills the program at the terminal with SIGKILL and `sane` expects the
terminal's settings to be what they were at the start. Everything must come within seconds: outside,
as the command of a sandbox (inside), and beside that of another (exec: usk exec -t).
"""
import contextlib
import fcntl
import fnmatch
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

from outcome import Outcome
from paths import HERE

WAIT_SECONDS = 15
SIDES = ["native", "inside", "exec"]


def jobs(build, options):
    for path in sorted((HERE / "programs/interactive").glob("*.session")):
        for side in SIDES:
            name = f"interactive.{path.stem}.{side}"
            yield name, lambda p=path, n=name, s=side: run(p, n, s, build, options)


def run(path, name, side, build, options):
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if side != "native" and not (build / "usk").exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        session = Session(*stack.enter_context(beginning(side, build / "usk")))
        stack.callback(session.end)
        return follow(session, path, name, begin)


@contextlib.contextmanager
def beginning(side, usk):
    """What stands before the command on this side, and the environment that it needs."""
    if side != "exec":
        yield ([usk, "run", "--"] if side == "inside" else []), {}
        return
    with tempfile.TemporaryDirectory(prefix="usk-interactive-") as runtime:
        place = {"XDG_RUNTIME_DIR": runtime}
        box = subprocess.Popen([usk, "run", "--name", "box", "--", "sh", "-c", "echo up; sleep 100"],
                               env=dict(os.environ, **place), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
        try:
            box.stdout.readline()
            yield [usk, "exec", "-t", "box"], place
        finally:
            box.kill()
            box.wait()
            box.stdout.close()


def follow(session, path, name, begin):
    try:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                session.step(line)
        return Outcome(passed=1, seconds=time.monotonic() - begin)
    except Failed as failure:
        return Outcome(failed=1, seconds=time.monotonic() - begin, notes=[
            f"FAIL {name} at line {number}: {line}", f"  {failure}",
            *("  | " + shown for shown in session.everything.splitlines()[-15:])])


class Failed(Exception):
    pass


class Session:
    def __init__(self, prefix, environment):
        self.prefix = prefix
        self.environment = environment
        self.master, self.slave = pty.openpty()
        self.process = None
        self.fresh = ""  # Shown since the last wait.
        self.everything = ""
        self.settings = termios.tcgetattr(self.slave)

    def step(self, line):
        verb, _, rest = line.partition(" ")
        if verb == "$":
            self.start(rest)
        elif verb == ">":
            os.write(self.master, rest.encode().decode("unicode_escape").encode("latin1"))
        elif verb == "<":
            self.wait_for(rest)
        elif verb == "size":
            rows, columns = map(int, rest.split())
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        elif verb == "kill":
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        elif verb == "exit":
            self.expect_exit(int(rest))
        elif verb == "sane":
            self.expect_sane()
        else:
            raise Failed(f"no verb {verb}")

    def start(self, command):
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb",
                       "HOME": "/tmp", **self.environment}
        self.process = subprocess.Popen([*self.prefix, "env", "PS1=ready$ ", *command.split()], stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave, env=environment,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read_some(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            text = os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            return False
        self.fresh += text
        self.everything += text
        return True

    def wait_for(self, pattern):
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            match = re.search(pattern, self.fresh)
            if match:
                self.fresh = self.fresh[match.end():]
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed(f"did not see {pattern!r} in {WAIT_SECONDS} s")
            self.read_some(min(left, 0.5))

    def expect_sane(self):
        deadline = time.monotonic() + WAIT_SECONDS
        while termios.tcgetattr(self.slave)[:4] != self.settings[:4]:
            if time.monotonic() > deadline:
                raise Failed("the terminal's settings were not restored")
            time.sleep(0.01)

    def expect_exit(self, code):
        deadline = time.monotonic() + WAIT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read_some(0.05)
        got = self.process.poll()
        if got is None:
            raise Failed("did not end")
        if got < 0:
            got = 128 - got  # As a shell says it, and usk.
        if got != code:
            raise Failed(f"ended with {got}, not {code}")

    def end(self):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
