"""What goes with checkpoints: pause and resume, fresh randomness, clocks, images that a sandbox keeps of
itself, and what a program inside can ask for."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import hosts
from hosts import LIMIT_SECONDS
from paths import HERE

CASES = {}
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("checkpoint", CASES, build, options)


def counter(host, *flags, command="run"):
    """Counts lines. The first was read."""
    what = ("--", "sh", "-c", COUNTER) if command == "run" else ()
    process = host.start(command, "--name", "box", *flags, *what)
    assert process.stdout.readline() == "1\n"
    return process


def stands_still(process):
    """Whether no more lines come; what had been written before is read."""
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + LIMIT_SECONDS
    quiet = 0
    while quiet < 4 and time.monotonic() < deadline:
        try:
            got = os.read(process.stdout.fileno(), 65536)
        except BlockingIOError:
            got = b""
        quiet = 0 if got else quiet + 1
        time.sleep(0.1)
    os.set_blocking(process.stdout.fileno(), True)
    return quiet == 4


def goes_on(process):
    """Whether lines come that were not there before."""
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + LIMIT_SECONDS
    seen = 0
    while seen < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            seen += bool(os.read(process.stdout.fileno(), 1 << 20))
        except BlockingIOError:
            seen = 0
    os.set_blocking(process.stdout.fileno(), True)
    return seen == 3


def status(host):
    return [s["status"] for s in host.list() if s["name"] == "box"]


@case
def paused_sandboxes_stand_still(host):
    process = counter(host)
    assert status(host) == ["running"]
    host.usk("pause", "box")
    assert status(host) == ["paused"] and stands_still(process)
    lines = host.usk("ps", "box")[0].splitlines()[1:]
    assert lines and all(line.split()[3] == "P" for line in lines), lines
    assert json.loads(host.usk("stats", "--json", "box")[0])["paused"] is True
    host.usk("pause", "box")
    host.refused("exec", "box", "true", saying="paused")
    host.usk("resume", "box")
    assert status(host) == ["running"]
    assert process.stdout.readline().strip().isdigit()
    host.usk("exec", "box", "true")


@case
def signals_wait_for_resume_but_kill(host):
    process = host.start("run", "--name", "box", "--", "sh", "-c", "trap 'echo caught' TERM; echo up; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "up\n"
    host.usk("pause", "box")
    host.usk("kill", "box", "TERM")
    assert stands_still(process)
    host.usk("resume", "box")
    assert process.stdout.readline() == "caught\n"
    host.usk("pause", "box")
    host.usk("kill", "box")
    assert process.wait(LIMIT_SECONDS) == 137


@case
def clocks_go_on_while_paused(host):
    process = host.start("run", "--name", "box", "--", "python3", "-uc", """
import signal, time
signal.signal(signal.SIGALRM, lambda *a: print("alarm"))
signal.alarm(3)
print("up")
begin = time.monotonic()
time.sleep(2)
print(time.monotonic() - begin)
signal.pause()
""")
    assert process.stdout.readline() == "up\n"
    time.sleep(0.5)  # It is to have begun to sleep.
    host.usk("pause", "box")
    time.sleep(3.5)
    host.usk("resume", "box")
    lines = [process.stdout.readline().strip(), process.stdout.readline().strip()]
    assert "alarm" in lines, lines
    slept = float([line for line in lines if line != "alarm"][0])
    assert slept >= 3.4, slept


@case
def a_paused_sandbox_can_be_saved(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        process = counter(host)
        host.usk("pause", "box")
        host.usk("checkpoint", "box", "-o", image, "--leave-running")
        assert status(host) == ["paused"] and stands_still(process)
        host.usk("kill", "box")
        copy = host.start("restore", image, "--name", "box")
        assert copy.stdout.readline().strip().isdigit()
        host.usk("kill", "box")
        copy.wait(LIMIT_SECONDS)
        copy = host.start("restore", "--paused", image, "--name", "box")
        host.until(lambda: status(host) == ["paused"])
        assert stands_still(copy)
        host.usk("resume", "box")
        assert copy.stdout.readline().strip().isdigit()


RANDOM = """
import ctypes, os, subprocess, sys, time
OWN = "import ctypes; c = ctypes.CDLL(None); c.getauxval.restype = ctypes.c_ulong; print(ctypes.string_at(c.getauxval(25), 16).hex())"
print("up")
time.sleep(2)
print(os.urandom(8).hex())
print(open("/dev/urandom", "rb").read(8).hex())
print(open("/dev/random", "rb").read(8).hex())
print(open("/proc/sys/kernel/random/boot_id").read().strip())
print(open("/proc/sys/kernel/random/uuid").read().strip())
print(subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True).stdout.strip())
print("generation", open("/proc/usk/checkpoint").read().split()[-1])
time.sleep(100)
"""


@case
def copies_draw_other_random_numbers(host):
    with tempfile.TemporaryDirectory() as scratch:
        original = host.start("run", "--name", "box", "--", "python3", "-uc", RANDOM)
        assert original.stdout.readline() == "up\n"
        host.usk("checkpoint", "box", "-o", f"{scratch}/1", "--leave-running")
        copies = [host.start("restore", "--name", f"copy{i}", f"{scratch}/1") for i in range(2)]
        seen = [[p.stdout.readline().strip() for _ in range(7)] for p in (original, *copies)]
        assert [lines[6] for lines in seen] == ["generation 0", "generation 1", "generation 1"], seen
        for values in zip(*(lines[:6] for lines in seen)):
            assert all(values) and len(set(values)) == 3, values
        host.usk("checkpoint", "copy0", "-o", f"{scratch}/2")
        assert json.loads(host.usk("checkpoint", "inspect", "--json", f"{scratch}/2")[0])["generation"] == 1


@case
def restored_clocks(host):
    script = """
import time
while True: print(time.time(), time.monotonic(), time.clock_gettime(5)); time.sleep(0.05)
"""
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--", "python3", "-uc", script)
        first = process.stdout.readline()
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        last = [float(x) for x in (first + process.stdout.read()).splitlines()[-1].split()]
        time.sleep(3)
        for clock, away in (("now", 3), ("frozen", 0)):
            copy = host.start("restore", "--name", clock, "--clock", clock, f"{scratch}/image")
            lines = [[float(x) for x in copy.stdout.readline().split()] for _ in range(2)]
            for wall, monotonic, coarse in lines:
                assert 0 < monotonic - last[1] < 2, (clock, monotonic, last)
                assert away <= wall - last[0] < away + 2.5, (clock, wall, last)
                assert abs(coarse - wall) < 0.5, (clock, coarse, wall)


@case
def jumps_of_the_clock_are_told(host):
    """TFD_TIMER_CANCEL_ON_SET: reading such a timer says ECANCELED where the time of day is another one."""
    script = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.timerfd_create(0, 0)
value = (ctypes.c_long * 4)(0, 0, int(time.time()) + (10 if os.environ["LATER"] == "near" else 1000), 0)
libc.timerfd_settime(fd, 3, value, None)
print("up")
try:
    print(int.from_bytes(os.read(fd, 8), "little"))
except OSError as error:
    print(error.strerror)
"""
    with tempfile.TemporaryDirectory() as scratch:
        for later, clock, said in (("far", "now", "Operation canceled"), ("near", "frozen", "1")):
            process = host.start("run", "--name", "box", "--env", f"LATER={later}", "--", "python3", "-uc", script)
            assert process.stdout.readline() == "up\n"
            host.usk("checkpoint", "box", "-o", f"{scratch}/{clock}")
            assert host.usk("restore", "--clock", clock, f"{scratch}/{clock}")[0] == said + "\n", clock


@case
def files_known_by_what_is_in_them(host):
    with tempfile.TemporaryDirectory() as scratch:
        shown = pathlib.Path(scratch) / "shown"
        shown.mkdir()
        (shown / "file").write_text("some text")
        process = host.start("run", "--name", "box", "--ro", str(shown), "--", "sh", "-c",
                             f"exec 3<{shown}/file; echo up; sleep 1; cat <&3")
        assert process.stdout.readline() == "up\n"
        host.usk("checkpoint", "box", "-o", f"{scratch}/times", "--leave-running")
        host.usk("checkpoint", "box", "-o", f"{scratch}/hashes", "--hash-files", "--leave-running")
        os.utime(shown / "file", (1, 1))
        host.refused("restore", f"{scratch}/times", saying=f"{shown}/file: it has changed since")
        assert host.usk("restore", f"{scratch}/hashes")[0] == "some text"
        (shown / "file").write_text("SOME TEXT")
        os.utime(shown / "file", (1, 1))
        host.refused("restore", f"{scratch}/hashes", saying=f"{shown}/file: it has changed since")
        assert host.usk("restore", "--allow-changed", f"{scratch}/hashes")[0] == "SOME TEXT"


@case
def what_the_host_lacks_is_told_first(host):
    """Nothing of the sandbox runs where a directory that it was shown is gone."""
    with tempfile.TemporaryDirectory() as scratch:
        shown = pathlib.Path(scratch) / "shown"
        shown.mkdir()
        process = host.start("run", "--name", "box", "--ro", str(shown), "--", "sh", "-c",
                             "echo up; while :; do echo again; sleep 0.05; done")
        assert process.stdout.readline() == "up\n"
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        shown.rename(f"{scratch}/elsewhere")
        host.refused("restore", f"{scratch}/image", saying=str(shown))


@case
def a_platform_that_the_host_lacks_is_told_first(host):
    """Nothing of the sandbox runs, on whichever it was saved; where the host has another, that one is taken."""
    deny = [sys.executable, HERE / "deny.py", "101"]  # ptrace(2)
    with tempfile.TemporaryDirectory() as scratch:
        for made_on in ("ptrace", "trap"):
            image = f"{scratch}/{made_on}"
            counter(host, "--platform", made_on)
            host.usk("checkpoint", "box", "-o", image)
            done = subprocess.run([*deny, host.usk_path, "restore", "--platform", "ptrace", image], env=host.environment,
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS)
            assert done.returncode == 125 and done.stdout == "" and done.stderr.count("\n") == 1, done
            assert "ptrace" in done.stderr and host.list() == [], done
            copy = subprocess.Popen([*deny, host.usk_path, "restore", image], env=host.environment, text=True,
                                    stdout=subprocess.PIPE)
            host.started.append(copy)
            assert copy.stdout.readline().strip().isdigit()
            copy.kill()
            copy.wait(LIMIT_SECONDS)
            host.until(lambda: host.list() == [])


@case
def images_from_time_to_time(host):
    with tempfile.TemporaryDirectory() as scratch:
        keep = pathlib.Path(scratch) / "keep"
        process = counter(host, f"--autosave=0.3s:{keep}", "--autosave-keep", "2")
        host.until(lambda: (keep / "latest").is_symlink() and
                   int(os.readlink(keep / "latest")) >= 4)
        process.send_signal(signal.SIGKILL)  # As hosts fail.
        process.wait(LIMIT_SECONDS)
        lines = process.stdout.read().splitlines()
        images = sorted(p.name for p in keep.iterdir() if p.name.isdigit())
        assert 2 <= len(images) <= 4 and os.readlink(keep / "latest") in images, images
        host.usk("checkpoint", "verify", str(keep / "latest"))
        copy = host.start("restore", str(keep / "latest"), f"--autosave=0.3s:{keep}")
        first = int(copy.stdout.readline())
        assert 1 < first <= int(lines[-1]) + 1, (first, lines[-1])
        assert int(copy.stdout.readline()) == first + 1
        newest = images[-1]
        host.until(lambda: os.readlink(keep / "latest") > newest)
        copy.kill()
        copy.wait(LIMIT_SECONDS)


# Keeps changing a little of what it has, and checks that the rest is whole.
HOLDING = """
import os, random, sys, time, zlib
random.seed(7)
keep = bytearray(random.randbytes(int(sys.argv[1]) << 20))
whole = zlib.crc32(keep)
i = 0
while True:
    i += 1
    assert zlib.crc32(keep) == whole or print("broken", flush=True)
    spare = bytearray(os.urandom(1 << 18))
    print(i, flush=True)
    time.sleep(0.05)
"""


def kib_of(image):
    return sum(p.stat().st_blocks for p in image.iterdir()) >> 1


def base_of(image):
    return json.loads((image / "manifest").read_text()).get("base", {}).get("path")


@case
def images_refer_to_a_whole_one(host):
    with tempfile.TemporaryDirectory() as scratch:
        keep = pathlib.Path(scratch) / "keep"

        def names():
            return sorted(p.name for p in keep.iterdir() if p.name.isdigit())

        def until(number):
            host.until(lambda: (keep / "latest").is_symlink() and int(os.readlink(keep / "latest")) >= number)

        process = host.start("run", "--name", "box", f"--autosave=0.2s:{keep}", "--autosave-keep=2", "--compress=zstd", "--",
                             "python3", "-c", HOLDING, "16")
        def small():
            """The last image, if it has little itself."""
            with contextlib.suppress(OSError):
                latest = (keep / "latest").resolve()
                whole = base_of(latest)
                if whole and 16 << 10 < kib_of(keep / whole) > 8 * kib_of(latest):
                    return latest
            return None

        host.until(small)
        whole = base_of(small())
        until(int(os.readlink(keep / "latest")) + 4)
        assert base_of((keep / "latest").resolve()) == whole and whole < min(set(names()) - {whole}), names()
        assert base_of(keep / whole) is None and len(names()) <= 4, names()
        host.usk("checkpoint", "verify", str(keep / "latest"))
        # What nothing refers to any more goes; without the whole one there is another.
        shutil.rmtree(keep / whole)
        time.sleep(0.3)
        last = int(os.readlink(keep / "latest"))
        until(last + 4)
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_SECONDS)
        found = [name for name in names() if (keep / name / "manifest").exists()]  # One may be half gone.
        bases = {name: base_of(keep / name) for name in found}
        assert len(found) <= 4 and set(bases.values()) - {None} <= set(found), bases
        assert process.stderr.read() == ""
        host.usk("checkpoint", "verify", str(keep / "latest"))
        # Each runs on, and begins with a whole one.
        copy = host.start("restore", str(keep / "latest"), f"--autosave=0.2s:{keep}", "--autosave-whole")
        lines = [copy.stdout.readline() for _ in range(20)]
        assert "broken\n" not in lines and int(lines[0]) > 1, lines
        until(int(found[-1]) + 2)
        assert base_of((keep / "latest").resolve()) is None
        copy.kill()
        copy.wait(LIMIT_SECONDS)


def child_called(pid, name):
    found = []
    for line in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if pathlib.Path(f"/proc/{line}/comm").read_text().strip() == name:
            found.append(int(line))
    assert len(found) == 1, found
    return found[0]


@case
def images_without_the_helper(host):
    """The process that waits for the disk is gone: the sandbox does it itself."""
    with tempfile.TemporaryDirectory() as scratch:
        keep = pathlib.Path(scratch) / "keep"
        process = counter(host, f"--autosave=0.2s:{keep}")
        host.until(lambda: (keep / "latest").is_symlink())
        os.kill(child_called(process.pid, "usk-disk"), signal.SIGKILL)
        last = int(os.readlink(keep / "latest"))
        host.until(lambda: int(os.readlink(keep / "latest")) >= last + 3)
        host.usk("kill", "box", "KILL")
        assert process.wait(LIMIT_SECONDS) == 137 and process.stderr.read() == ""
        host.usk("checkpoint", "verify", str(keep / "latest"))


# Block by block, all of a file gets the next number; where it is at is known to memory alone.
CHANGING = """
import ctypes, os, sys
path, way = sys.argv[1:]
SIZE, BLOCK = 24 << 20, 1 << 16
file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if path != "memfd" else os.memfd_create("x")
mapped = None
if way == "mapped":
    import mmap
    os.ftruncate(file, SIZE)
    mapped = mmap.mmap(file, SIZE)
os.ftruncate(file, SIZE)
def put(at, number):
    block = number.to_bytes(4, "little") * (BLOCK // 4)
    if mapped: mapped[at:at + BLOCK] = block
    else: os.pwrite(file, block, at)
def role():
    return open("/proc/usk/checkpoint").read().split()[1]
def check(number, done):
    for at in range(0, SIZE, BLOCK):
        is_there = os.pread(file, BLOCK, at)
        wanted = number if at < done else 0 if way == "truncated" else number - 1
        if is_there != wanted.to_bytes(4, "little") * (BLOCK // 4):
            print("broken at", at, "of", done, "in", number, is_there[:4], flush=True)
            sys.exit(1)
number = 0
while True:
    number += 1
    if way == "truncated":
        os.ftruncate(file, 0)
        os.ftruncate(file, SIZE)
    for at in range(0, SIZE, BLOCK):
        put(at, number)
        if role() != "original":
            check(number, at + BLOCK)
            print("whole", flush=True)
            sys.exit(0)
    print(number, flush=True)
"""


@case
def files_in_memory_change_behind_the_pause(host):
    """They are written behind the running sandbox, as they were when it stood still."""
    with tempfile.TemporaryDirectory() as scratch:
        for i, (path, way) in enumerate((("/tmp/x", "written"), ("memfd", "truncated"), ("/tmp/x", "mapped"))):
            name = f"box{i}"
            process = host.start("run", "--name", name, "--cwd", "/", "--tmpfs", "/tmp", "--", "python3", "-c", CHANGING,
                                 path, way)
            assert process.stdout.readline() == "1\n"
            for n in range(4):
                image = f"{scratch}/{name}-{n}"
                host.usk("checkpoint", name, "-o", image, "--leave-running", "--compress", ["none", "zstd"][n % 2])
                assert host.usk("restore", image)[0].splitlines()[-1] == "whole"
                shutil.rmtree(image)
            process.kill()
            process.wait(LIMIT_SECONDS)


@case
def one_sandbox_per_directory(host):
    with tempfile.TemporaryDirectory() as scratch:
        counter(host, f"--autosave=100s:{scratch}")
        host.refused("run", f"--autosave=1s:{scratch}", "--", "true", saying="another sandbox")
        host.refused("run", "--autosave=1s:/nowhere/at/all", "--", "true", saying="/nowhere/at/all")
        for bad in ("1s", "x:/tmp", "1s:", "-1s:/tmp"):
            host.usk("run", f"--autosave={bad}", "--", "true", code=125)


ASKING = """
import os, sys, time
name = sys.argv[1]
print(open("/proc/usk/checkpoint").read().split())
fd = os.open("/proc/usk/checkpoint", os.O_RDWR)
try:
    done = os.write(fd, name.encode())
    print("wrote", done, open("/proc/usk/checkpoint").read().split())
except OSError as error:
    print(error.strerror)
time.sleep(float(sys.argv[2]))
print("end")
"""


@case
def programs_ask_for_images(host):
    with tempfile.TemporaryDirectory() as scratch:
        keep = pathlib.Path(scratch) / "keep"
        ask = ["python3", "-uc", ASKING]
        output, _ = host.usk("run", f"--checkpoints={keep}", "--", *ask, "half-way", "0")
        assert output.splitlines() == ["['role:', 'original', 'generation:', '0']",
                                       "wrote 8 ['role:', 'original', 'generation:', '0']", "end"], output
        assert sorted(p.name for p in keep.iterdir()) == ["000001-half-way", "latest"]
        for generation in (1, 1):
            output, _ = host.usk("restore", str(keep / "latest"))
            assert output.splitlines() == [
                f"wrote 8 ['role:', 'restored', 'generation:', '{generation}']", "end"], output
        output, _ = host.usk("run", f"--checkpoints={keep}", "--", *ask, "checkpoint", "0")
        assert "wrote 10" in output and (keep / "000002").is_dir(), output
        for bad in ("", "..", "a/b", "x" * 40):
            output, _ = host.usk("run", f"--checkpoints={keep}", "--", *ask, bad, "0")
            assert "Invalid argument" in output or (not bad and "wrote 0" in output), output
        output, _ = host.usk("run", "--", *ask, "checkpoint", "0")
        assert "Operation not supported" in output, output


def left_in(scratch):
    return sorted(p.name for p in pathlib.Path(scratch).iterdir())


@case
def interrupted_checkpoints_change_nothing(host):
    # Enough memory that writing it takes a while.
    script = "import os, time\nkeep = os.urandom(64 << 20)\nwhile True: print(len(keep)); time.sleep(0.02)"
    process = host.start("run", "--name", "box", "--", "python3", "-uc", script)
    assert process.stdout.readline() == f"{64 << 20}\n"
    for how, wait in ((signal.SIGINT, 0.005), (signal.SIGINT, 0.05), (signal.SIGTERM, 0.02),
                      (signal.SIGKILL, 0.01), (signal.SIGKILL, 0.06)):
        with tempfile.TemporaryDirectory() as scratch:
            command = host.start("checkpoint", "box", "-o", f"{scratch}/image")
            while not left_in(scratch) and command.poll() is None:
                pass
            command.send_signal(signal.SIGSTOP)  # It cannot be done before the other signal comes.
            time.sleep(wait)
            command.send_signal(how)
            command.send_signal(signal.SIGCONT)
            code = command.wait(LIMIT_SECONDS)
            assert code == (-how if how == signal.SIGKILL else 128 + how), (how, code)
            assert "image" not in left_in(scratch), left_in(scratch)
            assert how == signal.SIGKILL or left_in(scratch) == [], left_in(scratch)
            assert goes_on(process) and status(host) == ["running"], how
    with tempfile.TemporaryDirectory() as scratch:
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        assert process.wait(LIMIT_SECONDS) == 137 and left_in(scratch) == ["image"]


@case
def compressed_and_incremental_images(host):
    script = "import os, time\nkeep = [os.urandom(8 << 20), b'x' * (8 << 20)]\ni = 0\nwhile True: i += 1; os.write(1, b'%d\\n' % i); time.sleep(0.02)"
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--", "python3", "-uc", script)
        assert process.stdout.readline() == "1\n"
        made = []

        def save(name, *flags):
            host.usk("checkpoint", "box", "-o", f"{scratch}/{name}", "--leave-running", *flags)
            made.append(name)
            return sum(p.stat().st_blocks for p in pathlib.Path(scratch, name).iterdir()) >> 1
        plain, small = save("plain"), save("small", "--compress", "zstd")
        assert plain > 16 << 10 and 8 << 10 < small < 10 << 10, (plain, small)
        sizes = [save("next", "--incremental-from", f"{scratch}/plain"),
                 save("third", "--compress", "zstd", "--incremental-from", f"{scratch}/next"),
                 save("fourth", "--incremental-from", f"{scratch}/small")]
        assert max(sizes) < 500, sizes
        host.refused("checkpoint", "box", "-o", f"{scratch}/plain", "--incremental-from",
                     f"{scratch}/plain", "--leave-running", saying="itself")
        for name in made:
            host.usk("checkpoint", "verify", f"{scratch}/{name}")
            copy = host.start("restore", f"{scratch}/{name}", "--name", name)
            lines = [int(copy.stdout.readline()) for _ in range(4)]
            assert lines == [lines[0] + i for i in range(4)], (name, lines)
            copy.kill()
        found = json.loads(host.usk("checkpoint", "diff", "--json", f"{scratch}/plain", f"{scratch}/third", code=1)[0])
        assert not found["equal"] and len(found["memory"]) == 1 and found["memory"][0]["changed"] < 50, found["memory"]
        assert "refers to   next" in host.usk("checkpoint", "inspect", f"{scratch}/third")[0]
        # What is damaged is met behind the running sandbox, which does not go on with it.
        damaged = pathlib.Path(scratch, "small", "memory")
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:4 << 20] + bytes(1 << 20) + whole[5 << 20:])
        broken = host.run("restore", f"{scratch}/small")
        assert broken.returncode == 137 and "image part memory: wrong checksum" in broken.stderr, broken
        damaged.write_bytes(whole)
        os.rename(f"{scratch}/plain", f"{scratch}/moved")
        for command in (("restore",), ("checkpoint", "verify")):
            host.refused(*command, f"{scratch}/third", saying="plain: No such file or directory")
        host.usk("checkpoint", "box", "-o", f"{scratch}/plain")
        host.refused("restore", f"{scratch}/third", saying="another one")


@case
def what_images_hold(host):
    with tempfile.TemporaryDirectory() as scratch:
        host.sandbox("sh", "-c", "sleep 100; :")
        host.until(lambda: host.usk("ps", "box")[0].endswith(" sleep 100\n"))
        time.sleep(0.3)  # The program is to have begun to sleep.
        host.usk("pause", "box")
        for name in "ab":
            host.usk("checkpoint", "box", "-o", f"{scratch}/{name}", "--leave-running")
        report = json.loads(host.usk("checkpoint", "inspect", "--json", f"{scratch}/a")[0])
        assert report["platform"] and report["version"] == 1
        kinds = {kind["class"]: kind["count"] for kind in report["objects"]}
        assert kinds["kernel/task"] == 3 and kinds["kernel/pid_namespace"] == 1, kinds
        assert sorted(m["owner"].split("(")[1] for m in report["memory"]) == ["sh)", "sleep)"]
        everything = json.loads(host.usk("checkpoint", "inspect", "--objects", f"{scratch}/a")[0])
        assert len(everything["objects"]) == sum(kinds.values())
        assert all(o["id"] == i for i, o in enumerate(everything["objects"]))
        assert "kernel/task" in host.usk("checkpoint", "inspect", f"{scratch}/a")[0]
        host.usk("checkpoint", "diff", f"{scratch}/a", f"{scratch}/a")
        # Of a paused sandbox only the clocks go on.
        found = json.loads(host.usk("checkpoint", "diff", "--json", f"{scratch}/a", f"{scratch}/b", code=1)[0])
        assert sorted(found["manifest"]) == ["facts", "monotonic_ns", "realtime_ns"], found
        assert found["roots"] == ["kernel"], found
        assert found["memory"] == [] and found["classes"] == [], found
        text = host.usk("checkpoint", "diff", f"{scratch}/a", f"{scratch}/b", code=1)[0]
        assert "root kernel" in text and "part state" in text, text
        host.refused("checkpoint", "diff", f"{scratch}/a", scratch, saying="not an image")


@case
def several_copies_at_once(host):
    with tempfile.TemporaryDirectory() as scratch:
        script = "echo up; sleep 1; read line || echo nothing to read; cat /proc/sys/kernel/random/boot_id; exit 3"
        process = host.start("run", "--name", "box", "--", "sh", "-c", script)
        assert process.stdout.readline() == "up\n"
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        output, _ = host.usk("restore", f"{scratch}/image", "-n", "3", "--clock=frozen", "--name", "box",
                             code=3, input="not for them")
        lines = output.splitlines()
        assert lines.count("nothing to read") == 3 and len(set(lines)) == 4, lines
        process = host.start("restore", "--paused", "-n", "2", "--name", "two", f"{scratch}/image")
        host.until(lambda: sorted(s["name"] for s in host.list()) == ["two-1", "two-2"])
        process.kill()
        process.wait()
        host.until(lambda: host.list() == [])
        host.refused("restore", "-n", "2", f"{scratch}/none", saying="none")
        host.refused("restore", "-n", "2", f"--autosave=1s:{scratch}/own", f"{scratch}/image",
                     saying="directory of its own")


def processes_of(path):
    """Those that run this file or a stub of it."""
    found = []
    for link in pathlib.Path("/proc").glob("[0-9]*/exe"):
        try:
            to = os.readlink(link)
            environment = (link.parent / "environ").read_bytes()
        except OSError:
            continue
        if path in to or path.encode() in environment:
            found.append((link.parent.name, to))
    return found


def shared_memory_kib():
    with open("/proc/meminfo") as file:
        return [int(line.split()[1]) for line in file if line.startswith("Shmem:")][0]


@case
def restoring_leaves_nothing(host):
    """USK_RESTORES=1000 for many; then the host's shared memory is compared, too."""
    rounds = int(os.environ.get("USK_RESTORES", "20"))
    with tempfile.TemporaryDirectory() as scratch:
        process = counter(host)
        host.usk("checkpoint", "box", "-o", f"{scratch}/image", "--compress", "zstd")
        process.wait(LIMIT_SECONDS)
        own = pathlib.Path(scratch) / "tmp"
        own.mkdir()
        host.environment["TMPDIR"] = str(own)
        memory = shared_memory_kib()
        for i in range(rounds):
            copy = host.start("restore", "--name", "box", f"{scratch}/image")
            assert copy.stdout.readline().strip().isdigit()
            if i % 2:
                host.usk("kill", "box")
            else:
                copy.kill()
            assert copy.wait(LIMIT_SECONDS) in (137, -9)
            copy.stdout.close()
            copy.stderr.close()
            host.started.remove(copy)
        assert host.list() == [] and host.entries() == [], host.entries()
        assert left_in(scratch) == ["image", "tmp"] and left_in(own) == [] and left_in(f"{scratch}/image") == [
            "config", "contents", "contents-table", "manifest", "memory", "state"]
        # Stubs have our environment, and so this directory's name.
        host.until(lambda: processes_of(host.runtime) == [])
        if rounds >= 200:
            grown = shared_memory_kib() - memory
            assert grown < 20 << 10, f"{grown} KiB of shared memory are left"
