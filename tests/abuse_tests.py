"""Abuse: what a hostile or greedy program does to the sandbox, and someone else to its processes.

Each case says what it runs and what must come of it. In every case the sandbox must end within its
time limit and leave no process behind (leftovers.py).
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import hosts
from outcome import OUT_OF_TIME, run_limited
from paths import HERE

LIMIT_SECONDS = 60
# How a sandbox ends whose time (--timeout) is up.
KILLED = (124, 128 + signal.SIGKILL)
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    def with_sandbox(function):
        return lambda host: function(Sandbox(host.usk_path))
    return hosts.case_jobs("abuse", {n: with_sandbox(f) for n, f in CASES.items()}, build, options)


class Sandbox:
    def __init__(self, usk):
        self.usk = usk

    def run(self, *command, flags=(), limit=LIMIT_SECONDS):
        return run_limited([sys.executable, HERE / "leftovers.py", self.usk, "run", *flags, "--",
                            *command], limit)

    def python(self, program, **more):
        return self.run("python3", "-c", program, **more)

    def start(self, *command, flags=()):
        """A running sandbox under the watch of leftovers.py; its output is readable."""
        return subprocess.Popen([sys.executable, HERE / "leftovers.py", self.usk, "run", *flags,
                                 "--", *command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True)


def wrong(done, output=None, code=0):
    """A description of what is not as it should be, or None."""
    if done.code == OUT_OF_TIME:
        return "out of time\n" + done.output[-500:] + done.errors[-500:]
    if done.code == 99:
        return done.errors.strip()
    if code is not None and done.code != code:
        return f"code {done.code}, not {code}: {done.output[-300:]} {done.errors[-300:]}"
    if output is not None and not re.fullmatch(output, done.output.strip()):
        return f"printed {done.output[-300:]!r} {done.errors[-300:]!r}"
    return None


def ended_by_timeout(done):
    if done.code not in KILLED:
        return wrong(done, code=KILLED[-1])
    return None if done.seconds > 0.9 else f"ended after {done.seconds} s already"


def first_line(process):
    """Waits until the program inside has begun; what it says first."""
    line = process.stdout.readline()
    if not line:
        raise OSError("the sandbox ended at once: " + process.stderr.read()[-300:])
    return line


def descendants(pid):
    """All processes below `pid`, by /proc."""
    found, todo = [], [pid]
    while todo:
        now = todo.pop()
        for tid in list_dir(f"/proc/{now}/task"):
            try:
                with open(f"/proc/{now}/task/{tid}/children") as file:
                    below = [int(child) for child in file.read().split()]
            except OSError:
                continue
            found += below
            todo += below
    return found


def list_dir(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def kernel_of(process):
    """The sandbox's own process: the child that leftovers.py started."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        below = descendants(process.pid)
        if below:
            return below[0]
        time.sleep(0.01)
    raise OSError("the sandbox did not start")


def finish(process, limit=20):
    """(exit code, output, errors), or a code of None when it did not end."""
    try:
        output, errors = process.communicate(timeout=limit)
        return process.returncode, output, errors
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "", ""


@case
def greedy_for_ipc_objects(sandbox):
    """Objects that outlive their makers are limited, and go with the sandbox."""
    done = sandbox.python("""
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def until_refused(make, most):
    for n in range(most):
        if make() < 0:
            return n, errno.errorcode[ctypes.get_errno()]
    return n + 1, None
print(until_refused(lambda: libc.shmget(0, ctypes.c_size_t(1 << 30), 0o600), 1))
count, why = until_refused(lambda: libc.shmget(0, ctypes.c_size_t(1 << 20), 0o600), 5000)
print(count <= 64, why)
print(until_refused(lambda: libc.semget(0, 32000, 0o600), 1000)[0] > 0)
message = ctypes.create_string_buffer(8 + 8000)
message[0] = 1
def full_queue():
    queue = libc.msgget(0, 0o600)
    while queue >= 0 and libc.msgsnd(queue, message, 8000, 0o4000) == 0: pass
    return queue
print(until_refused(full_queue, 3000)[0] > 0)
for i in range(20000):
    if os.fork() == 0:
        libc.shmat(libc.shmget(0, 4096, 0o600), None, 0); os._exit(0)
    os.wait()
    if i == 200: break
print("alive")
""", flags=["--memory", "64M"])
    return wrong(done, r"\(0, 'ENOMEM'\)\nTrue ENOMEM\nTrue\nTrue\nalive")


@case
def random_calls(sandbox):
    """On files of all kinds, and on processes in every state of life."""
    programs = pathlib.Path(sandbox.usk).parent / "guest"
    for platform, seed in (("trap", 1), ("trap", 2), ("ptrace", 3)):
        done = sandbox.run(programs / "noise", str(seed), "4000",
                           flags=["--platform", platform, "--memory=2G", "--pids=500", "--ro", programs])
        problem = wrong(done, r"the kernel lives: \d+")
        if problem:
            return f"seed {seed} on {platform}: {problem}"
    return None


@case
def random_calls_on_sockets(sandbox):
    program = (HERE / "guest/noise/sockets.py").read_text()
    for seed in (1, 2):
        done = sandbox.run("python3", "-c", program, str(seed), "5")
        problem = wrong(done, "lived")
        if problem:
            return f"seed {seed}: {problem}"
    return None


@case
def greedy_for_sockets(sandbox):
    """Connections and datagrams that nobody takes: refused at some point, and given back."""
    return wrong(sandbox.python("""
import resource, socket
def fill():
    kept, sent = [], 0
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)
    try:
        while True:
            c = socket.create_connection(server.getsockname())
            c.setblocking(False)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            kept.append(c)
            try:
                while True: sent += c.send(bytes(1 << 20))
            except BlockingIOError: pass
    except OSError as e:
        return sent, e.errno
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
for turn in range(2):
    sent, error = fill()
    assert 200 << 20 < sent < 1100 << 20, sent
print("bounded")
"""), "bounded")


@case
def fork_bomb(sandbox):
    done = sandbox.run("bash", "-c", "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 2; echo over",
                       flags=["--pids", "50", "--timeout", "20"])
    # Bash gives up, or the time limit ends it: both are fine, a bomb that goes on is not.
    return wrong(done, code=0) if "over" not in done.output and done.code not in KILLED else \
        wrong(done, code=None)


@case
def too_many_processes(sandbox):
    done = sandbox.python("""
import os, errno
children = []
try:
    while len(children) < 200:
        pid = os.fork()
        if pid == 0:
            import time; time.sleep(100)
        children.append(pid)
    print('no limit')
except OSError as error:
    print(errno.errorcode[error.errno], len(children) < 50)
for pid in children: os.kill(pid, 9)
""", flags=["--pids", "50"])
    return wrong(done, "EAGAIN True")


@case
def memory_limit(sandbox):
    done = sandbox.python("""
blocks = []
try:
    for i in range(100): blocks.append(bytearray(b'x') * (10 << 20))
    print('no limit')
except MemoryError:
    got = len(blocks)
    blocks = None
    print('MemoryError', 0 < got < 7)
""", flags=["--memory", "64M"])
    return wrong(done, "MemoryError True")


@case
def memory_of_many(sandbox):
    done = sandbox.python("""
import os
for i in range(8):
    if os.fork() == 0:
        try:
            block = bytearray(b'x') * (20 << 20)
        except MemoryError:
            os._exit(1)
        import time; time.sleep(1)
        os._exit(0)
refused = sum(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for i in range(8))
print(refused > 0)
""", flags=["--memory", "64M"])
    return wrong(done, "True")


# What a child says before it touches `megabytes` that it reserved only.
TOUCH = """
import mmap, os, sys, time
def touch(megabytes, flags=mmap.MAP_PRIVATE):
    area = mmap.mmap(-1, megabytes << 20, flags | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
    for at in range(0, megabytes << 20, 4096): area[at] = 1
    return area
def child(function):
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    return pid
def end(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@case
def touched_memory_is_limited(sandbox):
    """Private and shared memory that was only reserved: who touches too much is killed, alone."""
    done = sandbox.python(TOUCH + """
bystander = child(lambda: time.sleep(3))
print(end(child(lambda: touch(1024))), end(child(lambda: touch(1024, mmap.MAP_SHARED))))
print(end(child(lambda: touch(20))), end(bystander))
""", flags=["--memory", "64M", "-v"])
    if "out of memory" not in done.errors:
        return "no line tells: " + done.errors
    return wrong(done, "-9 -9\n0 0")


@case
def greedy_command_is_killed(sandbox):
    done = sandbox.python(TOUCH + "touch(1024)", flags=["--memory", "64M"])
    return wrong(done, code=128 + signal.SIGKILL)


class MemoryGroup:
    """A cgroup with so much memory, where root may make one."""

    def __init__(self, most):
        self.path = None
        for top, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
            path = f"{top}/usk-test-{os.getpid()}-{time.monotonic_ns()}"
            try:
                os.mkdir(path)
            except OSError:
                continue
            try:
                with open(f"{path}/{limit}", "w", encoding="ascii") as file:
                    file.write(str(most))
            except OSError:
                os.rmdir(path)
                continue
            self.path = path

    def start(self, *command):
        """Runs it there, beneath leftovers.py, to its end."""
        enter = f"echo $$ > {self.path}/cgroup.procs && exec \"$@\""
        return run_limited(["sh", "-c", enter, "sh", sys.executable, HERE / "leftovers.py", *command], 40)

    def kills(self):
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError), open(f"{self.path}/{name}", encoding="ascii") as file:
                return int(re.search(r"^oom_kill (\d+)$", file.read(), re.M)[1])
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for _ in range(100):
            with contextlib.suppress(OSError):
                if self.path:
                    os.rmdir(self.path)
                return
            time.sleep(0.05)


@case
def memory_has_a_limit_by_default(sandbox):
    """Three quarters of what there is: who touches more is killed by Usk, and nothing else by the host."""
    with MemoryGroup(600 << 20) as group:
        if not group.path:
            return None
        greedy = TOUCH + """
print(next(line.split()[1] for line in open('/proc/meminfo')))
print(end(child(lambda: touch(2000))), end(child(lambda: touch(20))))
"""
        done = group.start(sandbox.usk, "run", "--", "python3", "-c", greedy)
        problem = wrong(done, f"{600 * 1024 // 4 * 3}\n-9 0")
        if problem or group.kills():
            return problem or "the host had to kill"
        total = "print(next(line.split()[1] for line in open('/proc/meminfo')))"
        done = group.start(sandbox.usk, "run", "--memory", "unlimited", "--", "python3", "-c", total)
        with open("/proc/meminfo", encoding="ascii") as file:
            return wrong(done, next(file).split()[1])


@case
def shared_pages_count_once(sandbox):
    """Twenty processes that share 30 MiB use little more than that."""
    done = sandbox.python(TOUCH + """
area = touch(30)
def look():
    total = sum(area[at] for at in range(0, len(area), 4096))
    time.sleep(1)
    if total != 7680: os._exit(1)
print([end(pid) for pid in [child(look) for i in range(20)]] == [0] * 20)
""", flags=["--memory", "96M"])
    return wrong(done, "True")


@case
def score_chooses_who_is_killed(sandbox):
    """A small process with a high oom_score_adj goes before a larger one."""
    done = sandbox.python(TOUCH + """
def volunteer():
    open('/proc/self/oom_score_adj', 'w').write('1000')
    kept = touch(30)
    time.sleep(20)
def greedy():
    kept = touch(45)
    time.sleep(1)
    more = touch(25)
    time.sleep(1)
first, second = child(volunteer), child(greedy)
print(end(first), end(second))
""", flags=["--memory", "96M"])
    return wrong(done, "-9 0")


@case
def files_in_memory_are_limited(sandbox):
    done = sandbox.python("""
import errno, os
def fill(path):
    try:
        with open(path, 'wb', 0) as file:
            for i in range(200): file.write(b'x' * (1 << 20))
        return 'no limit'
    except OSError as error: return errno.errorcode[error.errno]
    finally: os.remove(path)
print(fill('/tmp/a'), fill('/etc/b'), fill('/dev/shm/c'))
""", flags=["--memory", "64M"])
    # Such files are killed for like other memory, when the two together are too much.
    return None if done.code == 137 else wrong(done, "ENOSPC ENOSPC ENOSPC")


def cost_of_idling(process):
    """What is wrong with the processor time of a sandbox that waits; ends it."""
    kernel = kernel_of(process)
    problem = hosts.cost_of_idling(kernel)
    os.kill(kernel, signal.SIGKILL)
    finish(process)
    return problem


@case
def idle_sandbox_costs_nothing(sandbox):
    process = sandbox.start("python3", "-c", "import time; a = b'x' * (20 << 20); "
                            "print(1, flush=True); time.sleep(100)", flags=["--memory", "64M"])
    first_line(process)
    return cost_of_idling(process)


@case
def sleeping_threads_cost_nothing(sandbox):
    """They wait for each other without the kernel process, which does not look after their memory."""
    process = sandbox.start("python3", "-c", "import threading, time\nlock = threading.Lock(); lock.acquire()\n"
                            "for i in range(4): threading.Thread(target=lock.acquire, daemon=True).start()\n"
                            "print(1, flush=True); lock.acquire()")
    first_line(process)
    return cost_of_idling(process)


@case
def idle_without_readers_costs_nothing(sandbox):
    """Those of its standard streams have gone: the host tells of that unasked."""
    process = sandbox.start("sh", "-c", "echo 1; exec sleep 100")
    first_line(process)
    process.stdout.close()
    process.stderr.close()
    return cost_of_idling(process)


@case
def ten_thousand_files(sandbox):
    done = sandbox.python("""
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (10100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
fds = [os.open('/tmp/f%d' % i, os.O_CREAT | os.O_RDWR) for i in range(5000)]
fds += [os.open('/dev/null', os.O_RDONLY) for i in range(5000)]
for i in (0, 4999): os.write(fds[i], b'x')
print(len(set(fds)), len(os.listdir('/tmp')) >= 5000)
""")
    return wrong(done, "10000 True")


@case
def two_thousand_threads(sandbox):
    done = sandbox.python("""
import threading
threading.stack_size(64 * 1024)
gate, count, lock = threading.Event(), 0, threading.Lock()
def body():
    global count
    gate.wait()
    with lock: count += 1
threads = [threading.Thread(target=body) for i in range(2000)]
for t in threads: t.start()
gate.set()
for t in threads: t.join()
print(count)
""")
    return wrong(done, "2000")


@case
def long_paths(sandbox):
    done = sandbox.python("""
import os, errno
os.chdir('/tmp')
name = 'd' * 250
for i in range(40):
    os.mkdir(name); os.chdir(name)
def attempt(path):
    try: os.stat(path); return 'ok'
    except OSError as error: return errno.errorcode[error.errno]
print(attempt('/' * 4094 + '.'), attempt('/' * 4095 + '.'), attempt('x' * 255), attempt('x' * 256))
try: print(len(os.getcwd()))
except OSError as error: print(errno.errorcode[error.errno])
""")
    return wrong(done, r"ok ENAMETOOLONG ENOENT ENAMETOOLONG\n(ENAMETOOLONG|100\d\d)")


@case
def deep_directories(sandbox):
    done = sandbox.python("""
import os, subprocess
os.chdir('/tmp')
for i in range(2000):
    os.mkdir('d'); os.chdir('d')
os.chdir('/tmp')
print(subprocess.check_output(['find', 'd']).count(b'\\n'))
print(subprocess.call(['rm', '-r', 'd']), os.path.exists('d'))
""")
    return wrong(done, r"2000\n0 False")


@case
def killed_kernel_leaves_nothing(sandbox):
    process = sandbox.start("bash", "-c", "sleep 100 & sleep 100 & python3 -c 'import time; "
                            "print(1, flush=True); time.sleep(100)'")
    first_line(process)
    os.kill(kernel_of(process), signal.SIGKILL)
    code, _, errors = finish(process)
    if code != 128 + signal.SIGKILL:
        return f"code {code}: {errors}"
    return None


@case
def kernel_killed_during_forks_leaves_nothing(sandbox):
    """A process that is just being made ends, too, though it could not be told to."""
    for attempt in range(8):
        process = sandbox.start("sh", "-c", "echo up; while :; do (exit 0); done")
        first_line(process)
        time.sleep(0.05 + attempt * 0.013)
        os.kill(kernel_of(process), signal.SIGKILL)
        code, _, errors = finish(process)
        if code != 128 + signal.SIGKILL:
            return f"code {code}: {errors}"
    return None


@case
def terminated_kernel_leaves_nothing(sandbox):
    process = sandbox.start("bash", "-c", "sleep 100 & echo up; wait")
    first_line(process)
    os.kill(kernel_of(process), signal.SIGTERM)
    code, _, errors = finish(process)
    return f"code {code}: {errors}" if code in (None, 99, 0) else None


def has_program(stub):
    """Neither the one that others are copies of, nor one that is made ahead."""
    with contextlib.suppress(OSError), open(f"/proc/{stub}/maps", encoding="utf-8") as file:
        return len(file.readlines()) > 20
    return False


@case
def killed_stub(sandbox):
    process = sandbox.start("bash", "-c", "sleep 1000 & sleep 0.3; echo up; wait")
    first_line(process)
    kernel = kernel_of(process)
    stubs = [stub for stub in descendants(kernel) if has_program(stub)]
    if not stubs:
        os.killpg(process.pid, signal.SIGKILL)
        return "found no stub"
    os.kill(stubs[-1], signal.SIGKILL)
    code, _, errors = finish(process)
    if code is None:
        return "hangs after a stub was killed"
    return errors if code == 99 else None


def stubs_of(kernel):
    return [pid for pid in descendants(kernel) if has_program(pid)]


def ended_with(process, problem):
    """Ends a sandbox; the problem."""
    os.kill(kernel_of(process), signal.SIGKILL)
    finish(process)
    return problem


def ticks_of(pids):
    """Processor time of all of them, in hundredths of a second."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            total += sum(int(n) for n in file.read().rsplit(")", 1)[1].split()[11:13])
    return total


@case
def stubs_that_are_stopped_go_on(sandbox):
    """Somebody on the host stops them (job control, a debugger): they stay so until SIGCONT."""
    for platform in ("trap", "ptrace"):
        process = sandbox.start("python3", "-c", "import os\nprint('runs', flush=True)\n"
                                "while True: os.getppid()", flags=[f"--platform={platform}"])
        first_line(process)
        kernel = kernel_of(process)
        stubs = stubs_of(kernel)
        for _ in range(5):
            for pid in stubs:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1)
            before = ticks_of(stubs)
            time.sleep(0.3)
            if ticks_of(stubs) != before:
                return ended_with(process, f"{platform}: they run")
            for pid in stubs:
                os.kill(pid, signal.SIGCONT)
            limit = time.monotonic() + 20
            while ticks_of(stubs) < before + 3:
                if time.monotonic() > limit:
                    return ended_with(process, f"{platform}: they do not go on")
                time.sleep(0.02)
        ended_with(process, None)
    return None


@case
def signals_of_the_host_are_not_the_guests(sandbox):
    """What a user of the host sends to a stub is no signal of the sandbox: ignored, or the stub's end."""
    program = ("import signal, time\n"
               "for s in (signal.SIGUSR1, signal.SIGTERM, signal.SIGSEGV): signal.signal(s, lambda *a: print('got', a[0]))\n"
               "print('ready', flush=True)\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint('end')")
    for platform, ends in (("trap", (0, 137)), ("ptrace", (0,))):
        process = sandbox.start("python3", "-c", program, flags=[f"--platform={platform}"])
        first_line(process)
        kernel = kernel_of(process)
        for sent in (signal.SIGUSR1, signal.SIGTERM, signal.SIGSEGV):
            for pid in stubs_of(kernel):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)
            time.sleep(0.1)
        code, output, errors = finish(process)
        if code not in ends or "got" in output or (code == 0) != ("end" in output):
            return f"{platform}: code {code}: {output!r} {errors!r}"
    return None


@case
def all_stubs_killed(sandbox):
    process = sandbox.start("bash", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
    first_line(process)
    for stub in descendants(kernel_of(process)):
        try:
            os.kill(stub, signal.SIGKILL)
        except ProcessLookupError:
            pass
    code, _, errors = finish(process)
    if code in (None, 99):
        return f"code {code}: {errors}"
    return None


@case
def filters_to_the_limit(sandbox):
    """Many processes with as many seccomp filters as they may have, as long as they may be."""
    done = sandbox.python("""
import ctypes, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
LOAD, ALLOW = struct.pack('HBBI', 0x20, 0, 0, 16), struct.pack('HBBI', 6, 0, 0, 0x7fff0000)
def install(code):
    held = ctypes.create_string_buffer(code)
    program = struct.pack('HxxxxxxP', len(code) // 8, ctypes.addressof(held))
    return libc.syscall(317, 1, 0, ctypes.create_string_buffer(program))
libc.prctl(38, 1, 0, 0, 0)
children = []
for i in range(12):
    children.append(os.fork())
    if children[-1]: continue
    n = 0
    while install(LOAD * 4095 + ALLOW) == 0: n += 1
    while install(ALLOW) == 0: n += 1
    for nr in range(450, 600): libc.syscall(nr)
    os._exit(0 if n > 400 and ctypes.get_errno() == 38 else 1)
print(sum(os.waitpid(c, 0)[1] == 0 for c in children))
""")
    return wrong(done, "12")


@case
def calls_that_wait_for_nobody(sandbox):
    """Calls that are to be answered by a supervisor that does not look at them."""
    done = sandbox.python("""
import ctypes, os, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
code = b''.join(struct.pack('HBBI', *i) for i in
                [(0x20, 0, 0, 0), (0x15, 0, 1, 110), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)])
held = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(held))
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(317, 1, 8, ctypes.create_string_buffer(program)) > 2
for i in range(200): threading.Thread(target=libc.getppid, daemon=True).start()
print('up', flush=True)
os._exit(3)
""")
    return wrong(done, "up", 3)


@case
def floods_keep_nobody_from_being_served(sandbox):
    """Requests are served in the order in which tasks come, one of each: who asks seldom has his turn."""
    done = sandbox.python("""
import os, signal, socket, sys, time
def calls():
    while True: os.getppid()
def signals():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    while True: os.kill(os.getpid(), signal.SIGUSR1)
def pipes():
    r, w = os.pipe()
    while True: os.write(w, bytes(60000)); os.read(r, 60000)
def files():
    while True: os.close(os.open('/etc/passwd', os.O_RDONLY))
def children():
    while True:
        if os.fork() == 0: os._exit(0)
        os.wait()
def packets():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    while True: a.send(b'x'); b.recv(1)
def texts():
    while True: open('/proc/self/maps').read()
floods = []
for flood in (calls, signals, pipes, files, children, packets, texts):
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try: flood()
            finally: os._exit(1)
        floods.append(pid)
turns, worst, end = 0, 0, time.monotonic() + 5
while time.monotonic() < end:
    before = time.monotonic()
    time.sleep(0.01)
    worst = max(worst, time.monotonic() - before)
    turns += 1
for pid in floods: os.kill(pid, signal.SIGKILL)
print('fair' if turns >= 20 and worst < 2 else f'{turns} turns, {worst} s')
""", limit=60)
    return wrong(done, "fair")


@case
def time_limit(sandbox):
    done = sandbox.run("sleep", "1000", flags=["--timeout", "1"], limit=20)
    return ended_by_timeout(done)


@case
def busy_loop_is_stopped(sandbox):
    done = sandbox.run("bash", "-c", "while :; do :; done", flags=["--timeout", "1"], limit=20)
    return ended_by_timeout(done)


@case
def closed_output(sandbox):
    done = run_limited(["bash", "-c", f"{sys.executable} {HERE}/leftovers.py {sandbox.usk} run -- "
                        "yes | head -n 1; exit ${PIPESTATUS[0]}"], 30)
    return wrong(done, "y", 128 + signal.SIGPIPE)


@case
def orphans_end_with_the_first_process(sandbox):
    done = sandbox.run("bash", "-c", "setsid sleep 1000 & disown; echo done")
    return wrong(done, "done")


@case
def full_host_disk(sandbox):
    """A writable host directory on a full file system: ENOSPC, and nothing worse."""
    if os.geteuid() != 0:
        return None
    mount = HERE.parent / "build/abuse-disk"
    mount.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", mount], check=True)
    try:
        done = sandbox.python(f"""
import errno
try:
    with open('{mount}/f', 'wb') as file:
        for i in range(100): file.write(b'x' * 65536)
    print('no limit')
except OSError as error:
    print(errno.errorcode[error.errno])
""", flags=["--rw", str(mount)])
    finally:
        subprocess.run(["umount", mount], check=True)
    return wrong(done, "ENOSPC")


@case
def the_last_process_ends_it_where_that_is_asked_for(sandbox):
    script = "(sleep 0.7; echo last; exit 5) & exit 7"
    done = sandbox.run("sh", "-c", script, flags=["--exit-wait-all"])
    problem = wrong(done, "last", 7)
    return problem or wrong(sandbox.run("sh", "-c", script), "", 7)


@case
def what_ends_leaves_nothing_in_the_kernel_process(sandbox):
    """Threads, processes, programs, spaces: nothing is kept for those that are gone."""
    program = """
import os, subprocess, threading
def burst(count):
    for i in range(count):
        if os.fork() == 0: os._exit(0)
        os.wait()
        t = threading.Thread(target=os.getpid); t.start(); t.join()
        if i % 10 == 0: subprocess.run(['/bin/true'])
for n in range(6):
    burst(150)
    print(n, flush=True)
    input()
"""
    process = subprocess.Popen([sys.executable, HERE / "leftovers.py", sandbox.usk, "run", "--", "python3",
                                "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    seen = []
    for _ in range(6):
        first_line(process)
        kernel = kernel_of(process)
        with open(f"/proc/{kernel}/statm", encoding="utf-8") as file:
            resident = int(file.read().split()[1]) * 4096
        seen.append((resident, len(list_dir(f"/proc/{kernel}/fd")), len(descendants(kernel))))
        process.stdin.write("\n")
        process.stdin.flush()
    code, _, errors = finish(process)
    if code != 0:
        return f"code {code}: {errors}"
    (early, early_fds, early_stubs), (late, late_fds, late_stubs) = seen[1], seen[-1]
    if late - early > 4 << 20 or late_fds - early_fds > 4 or late_stubs - early_stubs > 4:
        return f"memory, descriptors and processes of the host grow: {seen}"
    return None
