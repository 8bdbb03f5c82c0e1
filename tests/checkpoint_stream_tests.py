"""What a restored sandbox is: the same as before, and does nothing for the second time. Its terminals and
streams are the new command's; those of `usk exec` have hung up, as nobody is at their other end any more."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import pty
import subprocess
import tempfile
import time

import hosts
from hosts import LIMIT_SECONDS

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("checkpoint", CASES, build, options)


class Screen:
    """A terminal with a command at it."""

    def __init__(self, host, *arguments):
        self.fd, program_side = pty.openpty()
        self.process = subprocess.Popen(["setsid", "-c", host.usk_path, *arguments], env=host.environment,
                                        stdin=program_side, stdout=program_side, stderr=program_side)
        host.started.append(self.process)
        os.close(program_side)
        self.text = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, wanted):
        """Reads until it shows that."""
        os.set_blocking(self.fd, False)
        end = time.monotonic() + LIMIT_SECONDS
        while wanted not in self.text:
            assert time.monotonic() < end, (wanted, self.text)
            with contextlib.suppress(BlockingIOError):
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            time.sleep(0.02)
        self.text = self.text.split(wanted, 1)[1]


def saved(host, image, process):
    host.usk("checkpoint", "box", "-o", image)
    process.wait(LIMIT_SECONDS)


def restored(host, image):
    host.start("restore", image, "--name", "box")
    host.until(lambda: any(s["name"] == "box" for s in host.list()))


def text_of(host, file):
    """What is in a file of the sandbox, once there is something."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        text, _ = host.usk("exec", "box", "--", "sh", "-c", f"cat {file} 2>/dev/null || true")
        if text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"{file} stays empty")


@case
def the_console_is_the_new_commands(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        first = Screen(host, "run", "--name", "box", "--", "sh", "-c",
                       "stty -echo; echo ready; while read line; do echo [$line]; done")
        first.until("ready")
        first.type("one\nhalf a li")
        first.until("[one]")
        saved(host, image, first.process)
        second = Screen(host, "restore", image, "--name", "box")
        host.until(lambda: any(s["name"] == "box" for s in host.list()))
        second.type("ne\n")
        second.until("[half a line]")
        second.type("\x03")  # Job control goes on as well.
        assert second.process.wait(LIMIT_SECONDS) == 130
        assert "half" not in second.text  # Nothing was echoed.


@case
def a_console_without_a_new_one_hangs_up(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        first = Screen(host, "run", "--name", "box", "--", "sh", "-c",
                       "trap 'echo hup >/tmp/hup; sleep 100' HUP; echo ready; read line; sleep 100")
        first.until("ready")
        saved(host, image, first.process)
        restored(host, image)
        assert text_of(host, "/tmp/hup") == "hup\n"


@case
def a_terminal_shows_how_far_a_checkpoint_is(host):
    script = "import os, time\nkeep = os.urandom(4 << 20) * 100\nprint('up', flush=True)\nwhile True: time.sleep(0.05)"
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--", "python3", "-c", script)
        assert process.stdout.readline() == "up\n"
        screen = Screen(host, "checkpoint", "box", "-o", f"{scratch}/image", "--compress", "zstd", "--leave-running")
        screen.until("MiB written")
        assert screen.process.wait(LIMIT_SECONDS) == 0


@case
def pipes_of_exec_are_closed(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        box = host.sandbox("sleep", "100")
        beside = host.start("exec", "box", "--", "bash", "-c",
                            "trap '' PIPE; while echo x; do sleep 0.05; done 2>/tmp/error; sleep 100")
        assert beside.stdout.readline() == "x\n"
        saved(host, image, box)
        restored(host, image)
        assert "Broken pipe" in text_of(host, "/tmp/error")


@case
def a_terminal_of_exec_hangs_up(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        box = host.sandbox("sleep", "100")
        beside = Screen(host, "exec", "-t", "box", "--", "sh", "-c",
                        "trap 'echo hup >/tmp/hup; sleep 100' HUP; echo ready; read line; sleep 100")
        beside.until("ready")
        saved(host, image, box)
        restored(host, image)
        assert text_of(host, "/tmp/hup") == "hup\n"


@case
def a_call_is_not_made_twice(host):
    """What a task had begun when it was saved is done by the restored one alone."""
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(5):
            image = pathlib.Path(scratch) / str(turn)
            process = host.start("run", "--name", "box", "--", "python3", "-c",
                                 "import os, itertools\nfor i in itertools.count(): os.write(1, b'%d\\n' % i)")
            assert process.stdout.readline() == "0\n"
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                rest = pool.submit(process.stdout.read)
                saved(host, str(image), process)
                last = int(["0", *rest.result().split()][-1])
            copy = host.start("restore", str(image), "--name", "box")
            first = int(copy.stdout.readline())
            assert first == last + 1, (last, first)
            copy.kill()
            copy.wait()


SLEEPERS = """
import os, threading, time
r, w = os.pipe()
for _ in range(3): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
if os.fork() == 0: os.read(r, 1)
os.system('sleep 100 | cat')
"""


@case
def saved_twice_it_is_the_same(host):
    """A paused sandbox that is restored, and saved before anything of it has run, gives the same image, byte by
    byte. With what it is resumed as, that is over."""
    with tempfile.TemporaryDirectory() as scratch:
        host.sandbox("python3", "-c", SLEEPERS)
        host.until(lambda: len(host.usk("ps", "box")[0].splitlines()) >= 6)
        host.usk("pause", "box")
        host.usk("checkpoint", "box", "-o", f"{scratch}/0")
        for i, clock in enumerate(("now", "frozen")):
            host.start("restore", f"{scratch}/{i}", "--name", "box", "--paused", f"--clock={clock}")
            host.until(lambda: any(s["name"] == "box" for s in host.list()))
            host.usk("checkpoint", "box", "-o", f"{scratch}/{i + 1}")
            host.usk("checkpoint", "diff", f"{scratch}/{i}", f"{scratch}/{i + 1}")
            for part in pathlib.Path(scratch, "0").iterdir():
                assert part.read_bytes() == pathlib.Path(scratch, str(i + 1), part.name).read_bytes(), part.name
        host.start("restore", f"{scratch}/2", "--name", "box", "--paused")
        host.until(lambda: any(s["name"] == "box" for s in host.list()))
        host.usk("resume", "box")
        host.usk("checkpoint", "box", "-o", f"{scratch}/3")
        before, after = (json.loads(host.usk("checkpoint", "inspect", "--json", f"{scratch}/{n}")[0]) for n in "23")
        assert after["generation"] == before["generation"] + 1, (before, after)


@case
def time_stands_still_until_it_is_resumed(host):
    """What was restored to be paused has not begun yet: its sleeps and alarms are what they were."""
    script = """
import signal, time
signal.signal(signal.SIGALRM, lambda *a: print("alarm"))
signal.alarm(2)
begin = time.monotonic()
print("up")
time.sleep(3)
print(time.monotonic() - begin)
"""
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--", "python3", "-uc", script)
        assert process.stdout.readline() == "up\n"
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        copy = host.start("restore", f"{scratch}/image", "--name", "box", "--paused")
        host.until(lambda: any(s["name"] == "box" for s in host.list()))
        time.sleep(3.5)
        resumed = time.monotonic()
        host.usk("resume", "box")
        assert copy.stdout.readline() == "alarm\n" and time.monotonic() - resumed > 1
        assert 3 <= float(copy.stdout.readline()) < 6
