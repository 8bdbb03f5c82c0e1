"""usk fork: copies of running sandboxes."""
import contextlib
import os
import pathlib
import time

import hosts
from checkpoint_command_tests import RANDOM

CASES = {}

# Fills 64 MB, then counts aloud.
COUNTER = """
import os, time
keep = bytearray(os.urandom(1 << 20) * 64)
i = 0
while True:
    i += 1
    keep[i * 4096 % len(keep)] = i % 256
    print(i, flush=True)
    time.sleep(0.02)
"""
ROLE = "while :; do read role < /proc/usk/checkpoint; echo $role; sleep 0.05; done"


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("fork", CASES, build, options)


def counts(process, n):
    return [int(process.stdout.readline().split()[0]) for _ in range(n)]


def started(host):
    process = host.start("run", "--name", "box", "--", "python3", "-c", COUNTER)
    counts(process, 5)
    return process


def copy_of(host, *flags):
    """A copy and its first line. As long as memory is on its way to the last copy, there is no other."""
    while True:
        copy = host.start("fork", "box", *flags)
        line = copy.stdout.readline()
        if line:
            return copy, line
        assert copy.wait(hosts.LIMIT_SECONDS) == 125, copy.returncode
        errors = copy.stderr.read()
        assert errors == "usk: the sandbox is being saved already\n", errors
        time.sleep(0.1)


@case
def both_go_on(host):
    original = started(host)
    for platform in ("trap", "ptrace"):
        copy, line = copy_of(host, "--name", f"copy-{platform}", "--platform", platform)
        first, rest = int(line), counts(copy, 4)
        assert rest == [first + 1, first + 2, first + 3, first + 4], (first, rest)
        seen = counts(original, 20)
        assert seen == list(range(seen[0], seen[0] + 20)) and first <= seen[-1] + 20, (first, seen)
    assert sorted(s["name"] for s in host.list()) == ["box", "copy-ptrace", "copy-trap"]


@case
def a_copy_can_be_copied_and_knows_what_it_is(host):
    original = host.start("run", "--name", "box", "--", "sh", "-c", ROLE)
    assert original.stdout.readline() == "role: original\n"
    copy = host.start("fork", "box", "--name", "copy")
    assert [copy.stdout.readline() for _ in range(3)][-1] == "role: forked\n"
    again = host.start("fork", "copy", "--name", "again")
    assert [again.stdout.readline() for _ in range(3)][-1] == "role: forked\n"
    host.usk("kill", "copy")  # The others do not depend on it.
    assert again.stdout.readline() == "role: forked\n"
    assert original.stdout.readline() == "role: original\n"


# 100 MB in 20 graphs of objects, and 8 threads.
GRAPHS = """
import itertools, threading, time
graphs = [[{"n": i, "text": "x" * 40 + str(i)} for i in range(15_500)] for _ in range(20)]
def work():
    for n in itertools.count():
        if n % 50 == 0: time.sleep(0.05)
for _ in range(8): threading.Thread(target=work, daemon=True).start()
for i in itertools.count():
    print(i, flush=True)
    time.sleep(0.02)
"""


def with_descendants(pids):
    parents = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
    mine = set(pids)
    while more := {p for p, parent in parents.items() if parent in mine and p not in mine}:
        mine |= more
    return mine


def memory_files_of(pid):
    """Kilobytes by file: of those that it has open or maps."""
    files = {}
    for link in (*pathlib.Path(f"/proc/{pid}/fd").iterdir(), *pathlib.Path(f"/proc/{pid}/map_files").iterdir()):
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith("/memfd:"):
                found = link.stat()
                files[found.st_dev, found.st_ino] = found.st_blocks // 2
    return files


def memory_of(pids):
    """Kilobytes that these processes, and all that they have started, hold of the host's memory: their own, their
    share of the host's files, and memory files, once each, whether somebody has touched them or not."""
    total, files = 0, {}
    for pid in with_descendants(pids):
        with contextlib.suppress(OSError):  # It has ended, as what the original is copied from does.
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            parts = {line.split(":")[0]: int(line.split()[1]) for line in rollup}
            files |= memory_files_of(pid)
            total += parts["Pss"] - parts["Pss_Shmem"]
    return total + sum(files.values())


@case
def many_copies_share_their_memory(host):
    original = host.start("run", "--name", "box", "--", "python3", "-c", GRAPHS)
    counts(original, 5)
    one = memory_of([original.pid])  # It also holds the image until that is written.
    copies = host.start("fork", "box", "-n", "10", "--name", "copy")
    names = {f"copy-{i}" for i in range(1, 11)}
    host.until(lambda: names <= {s["name"] for s in host.list()})
    counts(copies, 100)
    host.until(lambda: memory_of([copies.pid]) > one)  # All of it has come.
    all_copies = memory_of([copies.pid])
    for name in names:
        host.usk("kill", name)
    assert copies.wait(hosts.LIMIT_SECONDS) == 137
    assert all_copies < one * 1.2, (one, all_copies)


@case
def copies_draw_other_random_numbers(host):
    waits = "while 'forked' not in open('/proc/usk/checkpoint').read(): time.sleep(0.05)"
    original = host.start("run", "--name", "box", "--", "python3", "-uc", RANDOM.replace("time.sleep(2)", waits))
    assert original.stdout.readline() == "up\n"
    copies = [copy_of(host, "--name", name) for name in ("one", "other")]
    seen = [[line.strip(), *(copy.stdout.readline().strip() for _ in range(6))] for copy, line in copies]
    assert [lines[6] for lines in seen] == ["generation 1", "generation 1"], seen
    assert all(one and one != other for one, other in zip(seen[0][:6], seen[1][:6])), seen


PROCESSORS = """
while :; do
  read role </proc/usk/checkpoint
  case $role in *forked) cat /sys/devices/system/cpu/online; exit;; esac
  sleep 0.05
done
"""


@case
def each_copy_sees_all_processors(host):
    """They are forks of one command, and share its descriptors' offsets."""
    host.sandbox("sh", "-c", PROCESSORS)
    output, _ = host.usk("fork", "box", "-n", "3", "--name", "copy")
    wanted = pathlib.Path("/sys/devices/system/cpu/online").read_text()
    assert output == wanted * 3, output


# Touches all of 128 MB, from the end, once a signal comes.
CHECKER = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
keep = bytearray(i % 251 for i in range(4096)) * (32 << 10)
print("ready", flush=True)
signal.sigwait({signal.SIGUSR1})
print(sum(keep[i] for i in range(len(keep) - 1, 0, -4095)), flush=True)
"""


def sum_of_copy(host, end):
    """What a copy finds whose original ends while its memory is still on its way."""
    original = host.start("run", "--name", "box", "--", "python3", "-c", CHECKER)
    assert original.stdout.readline() == "ready\n"
    copy = host.start("fork", "box", "--name", "copy")
    host.until(lambda: "copy" in {s["name"] for s in host.list()})
    end(original)
    host.run("kill", "copy", "USR1")  # Or it has ended already.
    out, errors = copy.communicate(timeout=hosts.LIMIT_SECONDS)
    size = 4096 * (32 << 10)
    wanted = f"{sum(i % 4096 % 251 for i in range(size - 1, 0, -4095))}\n"
    if (copy.returncode, out) == (0, wanted):
        return None
    return copy.returncode, errors


@case
def a_copy_has_its_memory_though_the_original_ends_at_once(host):
    found = sum_of_copy(host, lambda _: host.usk("kill", "box"))
    assert found is None, found


@case
def a_copy_ends_where_its_memory_never_comes(host):
    found = sum_of_copy(host, lambda original: original.kill())
    # On a slow day it has all come before.
    assert found is None or (found[0] == 139 and "before all memory was copied" in found[1]), found


@case
def failures_are_told(host):
    host.refused("fork", "nobody")
    host.refused("fork", "box", "-n", "0")
