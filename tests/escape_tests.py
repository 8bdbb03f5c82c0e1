"""Escapes: guest programs that try to get out by what system calls offer, and to use everything up
(tests/guest/escape). After each the observer outside finds its process, files, sockets and the host's
settings as they were, nobody knows the secret, no process is left behind, and the kernel process has
not grown beyond its bounds."""
import fcntl
import os
import pathlib
import pty
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

import hosts
from abuse_tests import descendants
from paths import HERE

SOURCES = HERE / "guest" / "escape"
LIMIT_SECONDS = 240
# What guests may have in the cases about exhaustion, and what the kernel process may take for that:
# its own 32 MiB, and as much until it is looked at; memory that it shares with stubs.
MEMORY, PIDS = 256 << 20, 500
MOST_RESIDENT = MEMORY + (288 << 20)
SETTINGS = ["core_pattern", "hostname", "panic", "randomize_va_space", "core_uses_pid"]


def names(source):
    """The attempts that a file lists."""
    text = (SOURCES / source).read_text()
    return re.findall(r'{"(\w+)", \w+}', text[text.rindex("std::vector<Attempt>"):])


def jobs(build, options):
    cases = {}
    for platform in ("trap", "ptrace"):
        for user in ("root", "user"):
            for source in ("files", "mounts", "processes", "sockets", "handed"):
                cases[f"{source}.{platform}.{user}"] = (
                    lambda host, s=source, p=platform, u=user: reach(host, s, p, u))
        cases[f"terminal.{platform}"] = lambda host, p=platform: at_a_terminal(host, p)
        for name in names("exhaustion.cc"):
            cases[f"{name}.{platform}"] = lambda host, n=name, p=platform: use_up(host, n, p)
    return hosts.case_jobs("escape", cases, build, options)


class Outside:
    """What an escape would read or change."""

    def __enter__(self):
        self.secret = secrets.token_hex(16)
        self.directory = tempfile.TemporaryDirectory(prefix="usk-escape-")
        top = pathlib.Path(self.directory.name)
        os.chmod(top, 0o755)
        self.path, self.box, self.ro = top / "outside", top / "box", top / "ro"
        for directory in (self.path, self.box, self.ro):
            directory.mkdir()
            os.chmod(directory, 0o777)
        (self.path / "secret").write_text(self.secret)
        (self.ro / "kept").write_text("kept")
        (self.path / "handed").write_text("handed in")
        os.mkfifo(self.path / "fifo", 0o666)
        for share in (self.box, self.ro):
            (share / "link").symlink_to(self.path)
            (share / "up").symlink_to("../outside")
        self.sockets = [self.listen(socket.AF_UNIX, str(self.path / "socket")),
                        self.listen(socket.AF_UNIX, str(self.box / "socket")),
                        self.listen(socket.AF_INET, ("127.0.0.1", 0))]
        self.abstract = f"usk-escape-{self.secret[:8]}"
        self.sockets.append(self.listen(socket.AF_UNIX, "\0" + self.abstract))
        for name in ("socket", "fifo"):
            os.chmod(self.path / name, 0o777)
        self.process = subprocess.Popen(["sleep", "1000"])
        self.epoch = time.time() - time.monotonic()
        self.before = self.seen()
        return self

    @staticmethod
    def listen(family, address):
        one = socket.socket(family)
        one.bind(address)
        one.listen()
        one.setblocking(False)
        return one

    def seen(self):
        files = {}
        for directory in (self.path, self.ro):
            for path in sorted(directory.iterdir()):
                facts = path.lstat()
                files[str(path)] = (facts.st_mode, facts.st_uid, facts.st_nlink, facts.st_size,
                                    facts.st_mtime_ns)
        settings = {name: pathlib.Path("/proc/sys/kernel", name).read_text() for name in SETTINGS}
        return (files, (self.path / "secret").read_text(), (self.ro / "kept").read_text(), settings,
                pathlib.Path("/proc/self/mounts").read_text())

    def problems(self, output):
        yield from (line for line in output.splitlines() if line.startswith(("ESCAPE", "FAILED")))
        if self.secret in output:
            line = next(line for line in output.splitlines() if self.secret in line)
            yield f"the secret was read: {line}"
        if self.process.poll() is not None:
            yield f"a process outside ended with {self.process.returncode}"
        now = self.seen()
        if now != self.before:
            yield f"something outside was changed: {[a for a in zip(self.before, now) if a[0] != a[1]]}"
        if abs(time.time() - time.monotonic() - self.epoch) > 5:
            yield "the host's clock was set"
        for one in self.sockets:
            try:
                one.accept()
                yield f"a socket outside was connected to: {one.getsockname()!r}"
            except BlockingIOError:
                pass
        for path in self.box.rglob("*"):
            mode = path.lstat().st_mode
            if mode & 0o170000 in (0o060000, 0o020000):
                yield f"{path.name} is a device of the host's"

    def arguments(self):
        return [str(self.process.pid), str(self.path), self.abstract,
                str(self.sockets[2].getsockname()[1])]

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for one in self.sockets:
            one.close()
        self.directory.cleanup()


def command(host, outside, platform, flags, name=None):
    program = pathlib.Path(host.usk_path).parent / "guest" / "escape"
    return [sys.executable, HERE / "leftovers.py", host.usk_path, "run", f"--platform={platform}", *flags,
            "--rw", f"{outside.box}:/box", "--ro", f"{outside.ro}:/ro", "--ro", program.parent, "--",
            program, *outside.arguments(), *([name] if name else [])]


def reach(host, source, platform, user):
    flags = ["--pids", str(PIDS), *(["--user", "1000:1000"] if user == "user" else [])]
    with Outside() as outside:
        output = []
        for name in names(f"{source}.cc"):
            with open(outside.path / "handed") as handed:
                done = subprocess.run(command(host, outside, platform, flags, name), env=host.environment,
                                      stdin=handed, capture_output=True, text=True, errors="replace",
                                      timeout=LIMIT_SECONDS)
            if done.returncode != 0 or "survived" not in done.stdout:
                return f"{name}: code {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}"
            output.append(done.stdout)
        return "; ".join(outside.problems("".join(output))) or None


def at_a_terminal(host, platform):
    """Standard input is a terminal that somebody else reads afterwards, as a shell does."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with Outside() as outside:
        done = subprocess.run(command(host, outside, platform, [], "terminal"), env=host.environment,
                              stdin=theirs, capture_output=True, text=True, errors="replace",
                              timeout=LIMIT_SECONDS, start_new_session=True)
        problems = list(outside.problems(done.stdout))
        if done.returncode != 0 or "survived" not in done.stdout:
            problems.append(f"code {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
    typed = fcntl.ioctl(theirs, termios.FIONREAD, bytes(4))
    if typed != bytes(4):
        problems.append(f"{int.from_bytes(typed, sys.byteorder)} bytes wait to be read by the next one")
    if termios.tcgetattr(theirs) != before:
        problems.append("the terminal's settings were changed")
    os.close(ours)
    os.close(theirs)
    return "; ".join(problems) or None


def peak(pid):
    """The most memory that a process has had, in bytes."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+)", status, re.M)[1]) << 10
    except (OSError, TypeError):
        return 0


def use_up(host, name, platform):
    flags = ["--memory", str(MEMORY), "--pids", str(PIDS)]
    with Outside() as outside:
        process = subprocess.Popen(command(host, outside, platform, flags, name), env=host.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace",
                                   start_new_session=True)
        most = count = 0
        end = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < end:
            below = descendants(process.pid)
            count = max(count, len(below))
            most = max(most, peak(below[0]) if below else 0)
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        problems = list(outside.problems(output))
        # Who uses up all memory is killed for it, and its sandbox may end with it.
        if process.returncode not in (0, 137):
            problems.append(f"code {process.returncode}: {output[-300:]} {errors[-300:]}")
        if most > MOST_RESIDENT:
            problems.append(f"the kernel process took {most >> 20} MiB: {output[-300:]}")
        if count > 2 * PIDS:
            problems.append(f"{count} processes of the host: {output[-300:]}")
        return "; ".join(problems) or None
