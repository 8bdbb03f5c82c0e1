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


SAVED_TWICE = """
import array, ctypes, fcntl, mmap, os, pty, resource, select, signal, socket, subprocess, termios, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def must(n):
    assert n >= 0, os.strerror(ctypes.get_errno())
    return n
keep = []
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN})
# Threads in several calls, one that computes, and processes.
word, lock = ctypes.c_uint32(1), threading.Lock()
lock.acquire()
def computes():
    while True: word.value ^= 2
for work in (lambda: time.sleep(100), lock.acquire, lambda: libc.syscall(202, ctypes.byref(word), 0, 1, None), computes):
    threading.Thread(target=work, daemon=True).start()
r, w = os.pipe()
if os.fork() == 0: os.read(r, 1)
stopped = subprocess.Popen(["sleep", "100"])
stopped.send_signal(signal.SIGSTOP)
zombie = subprocess.Popen(["true"])
keep.append(subprocess.Popen("sleep 100 | cat", shell=True))
# Pipes, sockets, descriptors in flight.
data = os.pipe()
os.write(data[1], b"in the pipe")
a, b = socket.socketpair()
a.sendmsg([b"with a descriptor"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [data[0], a.fileno()]))])
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    server = socket.socket(family)
    server.bind((host, 0))
    server.listen()
    one, two = socket.create_connection(server.getsockname()[:2]), socket.create_connection(server.getsockname()[:2])
    peer = server.accept()[0]
    peer.send(b"on its way")
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.bind((host, 0))
    datagrams.sendto(b"datagram", datagrams.getsockname())
    keep += [server, one, two, peer, datagrams]
netlink = socket.socket(16, socket.SOCK_RAW, 0)
# Descriptors of other kinds.
epoll = select.epoll()
for fd in (data[0], r, b.fileno(), keep[-1].fileno()): epoll.register(fd, select.EPOLLIN | select.EPOLLET)
epoll.poll(0, 1)
event = must(libc.eventfd(7, 0))
timer = must(libc.timerfd_create(1, 0))
must(libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(0, 5000000, 100, 0), None))
signals = must(libc.signalfd(-1, (ctypes.c_ulong * 16)(1 << (signal.SIGUSR2 - 1)), 0))
watch = must(libc.inotify_init1(0))
must(libc.inotify_add_watch(watch, b"/tmp", 0xfff))
pidfd = os.pidfd_open(keep[0].pid)
queue = must(libc.syscall(240, b"q", os.O_RDWR | os.O_CREAT, 0o600, None))
must(libc.syscall(242, queue, b"message", 7, 3, None))
for _ in range(2):
    master, slave = pty.openpty()
    os.write(master, b"a line\\nhalf of")
    os.write(slave, b"shown")
    keep += [master, slave]
# Memory: memfds, mapped and not; System V; files without names; shared and private.
for size in (1000, 3 << 20):
    memfd = os.memfd_create("m", os.MFD_ALLOW_SEALING)
    os.write(memfd, os.urandom(size))
    shared = mmap.mmap(memfd, size)
    private = mmap.mmap(memfd, size, mmap.MAP_PRIVATE)
    shared[5], private[6] = 1, 2
    keep += [shared, private, memfd]
fcntl.fcntl(memfd, 1033, 2)
for size in (1000, 200_000):
    file = open(f"/tmp/file{size}", "w+b")
    file.write(os.urandom(size))
    file.flush()
    fcntl.lockf(file, fcntl.LOCK_EX, 10, 3)
    fcntl.flock(file, fcntl.LOCK_SH)
    keep.append(file)
os.unlink("/tmp/file200000")
shm = must(libc.shmget(0, 1 << 20, 0o1600))
libc.shmat.restype = ctypes.c_void_p
ctypes.memset(libc.shmat(shm, None, 0), 7, 1 << 19)
sem = must(libc.semget(0, 3, 0o1600))
msg = must(libc.msgget(0, 0o1600))
must(libc.msgsnd(msg, (ctypes.c_long * 3)(5, 6, 7), 16, 0))
anonymous = mmap.mmap(-1, 2 << 20)
anonymous[:1 << 20] = os.urandom(1 << 20)
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
must(libc.madvise(ctypes.addressof(ctypes.c_char.from_buffer(anonymous)), 1 << 16, 11))
# Timers, signals, limits, names.
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 100, 7)
signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
event_of_timer = (ctypes.c_long * 8)(5, signal.SIGRTMIN)
made = ctypes.c_int()
must(libc.syscall(222, 1, event_of_timer, ctypes.byref(made)))
must(libc.syscall(223, made, 0, (ctypes.c_long * 4)(0, 3000000, 0, 1000), None))
os.kill(os.getpid(), signal.SIGUSR1)
libc.prctl(15, b"rich", 0, 0, 0)
resource.setrlimit(resource.RLIMIT_CORE, (1, 2))
os.nice(3)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.umask(0o27)
os.chdir("/tmp")
must(libc.unshare(0x04000000 | 0x08000000))  # Names of the host, System V.
print("ready", flush=True)
epoll.poll(100)
time.sleep(100)
"""


@case
def saved_twice_it_is_the_same(host):
    """A paused sandbox that is restored, and saved before anything of it has run, gives the same image, byte by
    byte: all parts, of all kinds of objects and memory. With what it is resumed as, that is over."""
    for platform in ("trap", "ptrace"):
        with tempfile.TemporaryDirectory() as scratch:
            process = host.start("run", "--platform", platform, "--name", "box", "--cwd", "/", "--tmpfs", "/tmp", "--",
                                 "python3", "-c", SAVED_TWICE)
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            time.sleep(1.2)  # What is dated anew in seconds shows.
            host.usk("pause", "box")
            host.usk("checkpoint", "box", "-o", f"{scratch}/0")
            for i, clock in enumerate(("now", "frozen")):
                host.start("restore", f"{scratch}/{i}", "--platform", platform, "--name", "box", "--paused",
                           f"--clock={clock}")
                host.until(lambda: any(s["name"] == "box" for s in host.list()))
                host.usk("checkpoint", "box", "-o", f"{scratch}/{i + 1}")
                same_bytes(host, pathlib.Path(scratch, str(i)), pathlib.Path(scratch, str(i + 1)))
            host.start("restore", f"{scratch}/2", "--platform", platform, "--name", "box", "--paused")
            host.until(lambda: any(s["name"] == "box" for s in host.list()))
            host.usk("resume", "box")
            host.usk("checkpoint", "box", "-o", f"{scratch}/3")
            before, after = (json.loads(host.usk("checkpoint", "inspect", "--json", f"{scratch}/{n}")[0]) for n in "23")
            assert after["generation"] == before["generation"] + 1, (before, after)


def same_bytes(host, one, other):
    difference = host.run("checkpoint", "diff", str(one), str(other))
    assert difference.returncode == 0, difference.stdout[-3000:]
    parts = sorted(path.name for path in one.iterdir())
    assert parts == ["config", "contents", "contents-table", "manifest", "memory", "state"], parts
    for part in parts:
        assert (one / part).read_bytes() == (other / part).read_bytes(), part
    assert (one / "contents").stat().st_size > 4 << 20 and (one / "memory").stat().st_size > 4 << 20


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
