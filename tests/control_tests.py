"""Commands on running sandboxes: usk list, ps, exec, kill, wait, stats.

Each case has a runtime directory of its own, so that sandboxes of others are not seen.
"""
import contextlib
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
from random import Random

import hosts
from hosts import LIMIT_SECONDS

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("control", CASES, build, options)


def ended(process, code):
    got = process.wait(LIMIT_SECONDS)
    assert got == code, (got, process.stderr.read())


@case
def list_shows_what_runs(host):
    assert host.list() == []
    process = host.sandbox("sleep", "100")
    (entry,) = host.list()
    assert entry["name"] == "box" and entry["pid"] == process.pid, entry
    assert entry["status"] == "running" and entry["command"] == ["sleep", "100"], entry
    assert len(entry["id"]) == 12 and entry["created"].endswith("Z"), entry
    text, _ = host.usk("list")
    assert entry["id"] in text and "sleep 100" in text, text


@case
def entry_goes_with_the_sandbox(host):
    host.usk("run", "--", "true")
    assert host.entries() == []


@case
def names_are_unique(host):
    host.sandbox("sleep", "100")
    _, errors = host.usk("run", "--name", "box", "--", "true", code=125)
    assert errors.count("\n") == 1 and "box" in errors, errors
    host.usk("run", "--name", "a/b", "--", "true", code=125)
    assert len(host.entries()) == 1


@case
def id_prefix_is_enough(host):
    host.sandbox("sleep", "100")
    (entry,) = host.list()
    assert "sleep 100" in host.usk("ps", entry["id"][:4])[0]
    host.usk("ps", "zzz", code=125)
    host.usk("ps", "", code=125)


@case
def stale_entry_is_removed(host):
    process = host.sandbox("sleep", "100")
    process.kill()
    process.wait()
    assert len(host.entries()) == 1
    assert host.list() == []
    assert host.entries() == []
    host.usk("run", "--name", "box", "--", "true")


@case
def ps_shows_processes(host):
    host.sandbox("sh", "-c", "sleep 77 & wait")
    asleep = re.compile(r" S +\S+ sleep 77$", re.M)
    host.until(lambda: asleep.search(host.usk("ps", "box")[0]))
    lines = host.usk("ps", "box")[0].splitlines()
    assert lines[0].split() == ["PID", "PPID", "USER", "STATE", "TIME", "COMMAND"], lines
    shell, child = (line.split() for line in lines[1:])
    assert child[1] == shell[0] and child[3] == "S", lines


@case
def ps_shows_no_control_characters(host):
    host.sandbox("sh", "-c", "sleep 50; : \033[31m\u009b1m")
    text, _ = host.usk("ps", "box")
    assert "\033" not in text and "\u009b" not in text and "?[31m" in text, text


@case
def kill_ends_the_sandbox(host):
    process = host.sandbox("sh", "-c", "trap '' TERM; sleep 100 & wait; wait")
    host.usk("kill", "box")
    assert host.list() == []
    ended(process, 137)


@case
def kill_sends_signals(host):
    process = host.sandbox("sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.1; done")
    host.until(lambda: "sleep" in host.usk("ps", "box")[0].split("\n", 2)[2])
    host.usk("kill", "box", "SIGUSR1")
    ended(process, 5)
    process = host.sandbox("sleep", "100")
    host.usk("kill", "box", "15")
    ended(process, 143)
    host.usk("kill", "box", code=125)


@case
def kill_knows_signals(host):
    host.sandbox("sleep", "100")
    for wrong in ("NOSUCH", "0", "65", "99999999999"):
        host.usk("kill", "box", wrong, code=125)
    assert len(host.list()) == 1


@case
def wait_gives_the_exit_code(host):
    host.sandbox("sh", "-c", "sleep 0.5; exit 9")
    host.usk("wait", "box", code=9)
    assert host.list() == []


@case
def wait_sees_a_killed_kernel(host):
    """What became of the command cannot be known any more: 127, and a line that says so. Who started it
    learns how its process died from the host."""
    process = host.sandbox("sleep", "100")
    waiting, asleep = host.start("wait", "box"), host.start("exec", "box", "sleep", "55")
    host.until(lambda: "sleep 55" in host.usk("ps", "box")[0])
    time.sleep(0.3)
    process.kill()
    for client in (waiting, asleep):
        ended(client, 127)
        assert "ended without saying how" in client.stderr.read()
    ended(process, -signal.SIGKILL)
    # A bug of Usk's own: the same to those who wait, 125 to who started it.
    process = host.sandbox("sleep", "100")
    waiting = host.start("wait", "box")
    time.sleep(0.3)
    process.send_signal(signal.SIGSEGV)
    ended(waiting, 127)
    ended(process, 125)


@case
def stats_are_numbers(host):
    host.sandbox("sleep", "100", flags=["--memory", "64M", "--pids", "9"])
    asleep = re.compile(r" S +\S+ sleep 100$", re.M)
    host.until(lambda: asleep.search(host.usk("ps", "box")[0]))
    stats = json.loads(host.usk("stats", "box", "--json")[0])
    assert stats["tasks"] == 1 and stats["task_limit"] == 9, stats
    assert stats["memory_limit_bytes"] == 64 << 20 and stats["memory_bytes"] > 0, stats
    assert stats["syscalls"] > 0 and stats["uptime_ns"] > 0, stats
    assert "memory" in host.usk("stats", "box")[0]


def run_counted(host, platform, script):
    """The report of `usk run --stats` about a Python program."""
    file = os.path.join(host.runtime, f"stats-{platform}.json")
    host.usk("run", f"--platform={platform}", f"--stats=json:{file}", "--", "python3", "-c", script)
    with open(file, encoding="utf-8") as text:
        return json.load(text)


@case
def stats_count_what_the_platform_did(host):
    calls = 500
    script = f"import os\nfor i in range({calls}): os.getppid(); os.stat('/etc/passwd')"
    for platform in ("trap", "ptrace"):
        stats = run_counted(host, platform, script)
        told = stats["platform"]
        assert told["name"] == platform, told
        groups = told["counters"]
        assert {"hand_off", "traps", "faults", "copies", "commands", "worker", "spaces",
                "ptrace_stops"} <= set(groups), groups
        assert all(n >= 0 for group in groups.values() for n in group.values()), groups
        assert groups["spaces"]["spaces_new"] >= 1 and stats["syscalls"] > 2 * calls, stats
        if platform == "ptrace":
            assert groups["ptrace_stops"]["stop_syscall"] >= 2 * calls, groups
            continue
        traps, hand_off = groups["traps"], groups["hand_off"]
        assert traps["calls_trapped"] > 0 and traps["calls_patched"] > calls, traps
        assert traps["calls_trapped"] + traps["calls_patched"] >= stats["syscalls"], stats
        posts = hand_off["posts_polled"] + hand_off["posts_notified"]
        orders = sum(hand_off[key] for key in ("orders_spun", "orders_notified", "orders_woken"))
        assert posts > 2 * calls and abs(posts - orders) < posts / 10, hand_off
        assert groups["copies"]["in_with_post_bytes"] >= calls * len("/etc/passwd"), groups


@case
def stats_know_call_sites(host):
    stats = run_counted(host, "trap", "import os\nfor i in range(3000): os.getppid()")
    sites = stats["platform"]["call_sites"]
    assert 0 < len(sites) <= 20, sites
    busiest = sites[0]
    assert busiest["call"] == "getppid" and "libc" in busiest["file"], busiest
    assert busiest["trapped"] >= 4 and 2000 < busiest["patched"] < 4000, busiest
    assert busiest["address"] > busiest["offset"] > 0, busiest
    counts = [site["trapped"] + site["patched"] for site in sites]
    assert counts == sorted(counts, reverse=True), sites


@case
def stats_count_answers_of_the_stub(host):
    script = "import os\nfor i in range(300): os.getuid()"
    told = run_counted(host, "trap", script)["platform"]["counters"]["traps"]["answered_in_stub"]
    assert 250 < told <= 1000, told


@case
def stubs_make_futex_calls_again_after_a_tracer(host):
    script = """
import ctypes, os
libc, word, SEIZE, INTERRUPT, CONT, DETACH = ctypes.CDLL(None), ctypes.c_uint32(), 0x4206, 0x4207, 7, 17
there, back = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    for _ in range(2):
        os.read(there[0], 1)
        for _ in range(2000): libc.syscall(202, ctypes.byref(word), 1 | 128, 1)
        os.write(back[1], b"x")
    os._exit(0)
def stop():
    assert libc.ptrace(INTERRUPT, pid, 0, 0) == 0
    assert os.WIFSTOPPED(os.waitpid(pid, 0)[1])
assert libc.ptrace(SEIZE, pid, 0, 0) == 0
stop()
libc.ptrace(CONT, pid, 0, 0)
os.write(there[1], b"x")
os.read(back[0], 1)
stop()
libc.ptrace(DETACH, pid, 0, 0)
os.write(there[1], b"x")
assert os.waitpid(pid, 0)[1] == 0
"""
    told = run_counted(host, "trap", script)["platform"]["counters"]["traps"]["futexes_in_stub"]
    assert 1900 < told < 3000, told


@case
def stats_at_the_end_are_a_table(host):
    _, errors = host.usk("run", "--stats", "--", "true")
    assert "hand_off" in errors or "ptrace_stops" in errors, errors
    assert "syscalls" in errors and "call sites" in errors, errors
    host.refused("run", "--stats=nonsense", "--", "true", saying="json:FILE")
    host.refused("run", "--stats=json:/no/such/dir", "--", "true", saying="No such file")


@case
def exec_runs_beside(host):
    host.sandbox("sleep", "100")
    assert host.usk("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3", code=3) == \
        ("out\n", "err\n")
    assert host.usk("exec", "box", "cat", input="through\n")[0] == "through\n"
    assert len(host.usk("ps", "box")[0].splitlines()) == 2


@case
def exec_is_in_the_same_sandbox(host):
    host.sandbox("sh", "-c", "echo kept >/tmp/file; while :; do sleep 1; done")
    host.until(lambda: "sleep" in host.usk("ps", "box")[0].split("\n", 2)[2])
    assert host.usk("exec", "box", "cat", "/tmp/file")[0] == "kept\n"


@case
def exec_flags(host):
    host.sandbox("sleep", "100", flags=["-e", "ONE=1", "-e", "TWO=2"])
    text, _ = host.usk("exec", "-e", "TWO=3", "--cwd", "/usr", "--user", "7", "box", "sh", "-c",
                       "echo $ONE $TWO $PWD; id -u")
    assert text == "1 3 /usr\n7\n", text


@case
def exec_passes_input_on(host):
    """Every byte, and the end, with and without docker's -i."""
    host.sandbox("sleep", "100")
    program = "import sys; print(sum(sys.stdin.buffer.read()))"
    for flags in ([], ["-i"], ["--interactive"]):
        done = subprocess.run([host.usk_path, "exec", *flags, "box", "python3", "-c", program],
                              env=host.environment, input=bytes(range(256)) * 1000,
                              capture_output=True, timeout=LIMIT_SECONDS)
        assert done.stdout == b"%d\n" % (sum(range(256)) * 1000), done


@case
def exec_terminal_needs_one(host):
    host.sandbox("sleep", "100")
    _, errors = host.usk("exec", "-t", "box", "true", code=125)
    assert errors.count("\n") == 1 and "not a terminal" in errors, errors


@case
def exec_terminal(host):
    """As another user; unless asked otherwise with the terminal's kind; all output, then the code."""
    host.sandbox("sleep", "100")
    master, slave = pty.openpty()
    program = "stat -c %u $(tty); echo $TERM; seq 20000; exit 4"
    client = subprocess.Popen([host.usk_path, "exec", "-it", "--user", "7", "box", "sh", "-c", program],
                              env=dict(host.environment, TERM="vt52"), stdin=slave, stdout=slave,
                              stderr=slave, start_new_session=True)
    host.started.append(client)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(master, "rb", 0) as terminal:
        while part := terminal.read(65536):
            shown += part
    lines = shown.decode().split("\r\n")
    assert lines[:2] == ["7", "vt52"] and lines[2:-1] == [str(n + 1) for n in range(20000)], lines
    assert client.wait(LIMIT_SECONDS) == 4
    host.until(lambda: len(host.usk("ps", "box")[0].splitlines()) == 2)
    assert host.usk("exec", "box", "ls", "/dev/pts")[0] == "ptmx\n"


@case
def exec_terminal_comes_back(host):
    """The caller's terminal has its settings again when nothing ran, and when the sandbox died."""
    process = host.sandbox("sleep", "100")
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)

    def client(*command):
        started = subprocess.Popen([host.usk_path, "exec", "-t", "box", *command],
                                   env=host.environment, stdin=slave, stdout=slave, stderr=slave,
                                   start_new_session=True)
        host.started.append(started)
        return started

    assert client("no-such").wait(LIMIT_SECONDS) == 127
    assert termios.tcgetattr(slave) == before
    for end, code in ((lambda c: host.usk("kill", "box"), 137), (lambda c: process.kill(), 127)):
        asleep = client("sleep", "66")
        host.until(lambda: termios.tcgetattr(slave) != before)
        end(asleep)
        assert asleep.wait(LIMIT_SECONDS) == code
        assert termios.tcgetattr(slave) == before
        process.wait()
        process = host.sandbox("sleep", "100")
    # One that is only told to end passes that on.
    asleep = client("sleep", "66")
    host.until(lambda: termios.tcgetattr(slave) != before)
    asleep.send_signal(signal.SIGTERM)
    assert asleep.wait(LIMIT_SECONDS) == 143 and termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


@case
def exec_failures(host):
    host.sandbox("sleep", "100")
    host.usk("exec", "box", "no-such-command", code=127)
    host.usk("exec", "box", "/etc/passwd", code=126)
    host.usk("exec", "box", code=125)
    host.usk("exec", "none", "true", code=125)
    host.usk("exec", "--cwd", "/none", "box", "true", code=125)
    host.usk("exec", "box", "sh", "-c", "kill -9 $$", code=137)
    host.usk("exec", "box", "true")


@case
def exec_forwards_signals(host):
    host.sandbox("sleep", "100")
    client = host.start("exec", "box", "sh", "-c",
                        "trap 'exit 6' TERM; echo ready; while :; do sleep 0.1; done")
    assert client.stdout.readline() == "ready\n"
    client.send_signal(signal.SIGTERM)
    ended(client, 6)


@case
def exec_hangs_up(host):
    host.sandbox("sleep", "100")
    client = host.start("exec", "box", "sleep", "55")
    host.until(lambda: "sleep 55" in host.usk("ps", "box")[0])
    client.kill()
    host.until(lambda: "sleep 55" not in host.usk("ps", "box")[0])


@case
def exec_ends_with_the_sandbox(host):
    process = host.sandbox("sleep", "100")
    client = host.start("exec", "box", "sleep", "55")
    host.until(lambda: "sleep 55" in host.usk("ps", "box")[0])
    host.usk("kill", "box", "TERM")
    ended(process, 143)
    ended(client, 137)


@case
def busy_sandbox_answers(host):
    host.sandbox("sh", "-c", "while :; do :; done")
    assert host.usk("exec", "box", "echo", "hello")[0] == "hello\n"
    host.usk("kill", "box")


@case
def descriptors_used_up(host):
    """A guest that leaves the kernel process no descriptor can be looked at and ended, and does not
    make it spin."""
    program = """
import os, time
kept = []
try:
    while True: kept.append(os.open('/usr/bin/env', os.O_RDONLY))
except OSError as error: print(len(kept) > 50, error.errno, flush=True)
time.sleep(100)
"""
    process = subprocess.Popen(
        ["prlimit", "--nofile=200:200", host.usk_path, "run", "--name", "box", "--", "python3", "-c",
         program], env=host.environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    host.started.append(process)
    assert process.stdout.readline().startswith("True"), process.stderr.read()
    assert "python3" in host.usk("ps", "box")[0]
    path = os.path.join(host.runtime, "usk", host.entries()[0], "control")
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # Only one of them finds a descriptor.
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(path)
        time.sleep(0.3)
        before = cpu_ticks(process.pid)
        time.sleep(1)
        assert cpu_ticks(process.pid) - before < 10
    host.usk("kill", "box")
    ended(process, 137)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return sum(int(n) for n in file.read().rsplit(")", 1)[1].split()[11:13])


# What clients may be doing when they are killed, or when nobody reads any more what they say.
CLIENTS = [
    ["exec", "box", "cat"],
    ["exec", "box", "sleep", "50"],
    ["exec", "box", "yes"],
    ["exec", "-i", "box", "sh", "-c", "read x; sleep 50"],
    ["exec", "box", "sh", "-c", "trap '' HUP PIPE; yes 2>/dev/null; exec >&- 2>&-; sleep 50"],
    ["trace", "box"],
    ["trace", "box", "--pid", "2"],
    ["debug", "box", "--gdb"],
    ["debug", "box", "--gdb", "-"],
    ["wait", "box"],
]


@case
def clients_that_vanish_cost_nothing(host):
    process = host.sandbox("sleep", "100")
    random = Random(1)
    for arguments in CLIENTS * 3:
        client = subprocess.Popen([host.usk_path, *arguments], env=host.environment,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        host.started.append(client)
        time.sleep(random.choice([0, 0.01, 0.1, 0.3]))
        for stream in random.sample([client.stdin, client.stdout], random.randrange(3)):
            stream.close()
        if random.randrange(3):
            time.sleep(random.choice([0, 0.05]))
            client.kill()
            client.wait()
    for client in host.started[1:]:
        client.kill()
        client.stdin.close()
        client.stdout.close()
    host.until(lambda: not re.search(r" yes$", host.usk("ps", "box")[0], re.M))
    return hosts.cost_of_idling(process.pid)


@case
def a_debugger_that_does_not_listen_costs_nothing(host):
    """It asks for ever and reads no answer."""
    process = host.sandbox("sleep", "100")
    address = os.path.join(host.runtime, "gdb")
    server = host.start("debug", "box", "--gdb", address)
    host.until(lambda: os.path.exists(address))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        client.setblocking(False)
        question = b"$qXfer:features:read:target.xml:0,ffb#79" * 100
        quiet = 0
        while quiet < 10:
            try:
                client.send(question)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.1)
        problem = hosts.cost_of_idling(process.pid)
    assert server.wait(20) is not None
    return problem


@case
def a_terminal_that_vanishes_costs_nothing(host):
    master, slave = os.openpty()
    process = subprocess.Popen([host.usk_path, "run", "--name", "box", "--", "sh", "-c",
                                "trap '' HUP; echo; stty -a; sleep 100"], env=host.environment,
                               stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    host.started.append(process)
    os.close(slave)
    host.until(lambda: any(s["name"] == "box" for s in host.list()))
    time.sleep(0.3)
    os.close(master)
    return hosts.cost_of_idling(process.pid)


@case
def verdicts_of_filters_are_logged(host):
    """With -v: those that kill and SECCOMP_RET_LOG, others where the filter asks for it."""
    program = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def install(flags, *verdicts):
    code = struct.pack('HBBI', 0x20, 0, 0, 0)
    for nr, verdict in verdicts:
        code += struct.pack('HBBI', 0x15, 0, 1, nr) + struct.pack('HBBI', 6, 0, 0, verdict)
    code += struct.pack('HBBI', 6, 0, 0, 0x7fff0000)
    held = ctypes.create_string_buffer(code)
    assert libc.syscall(317, 1, flags, ctypes.create_string_buffer(
        struct.pack('HxxxxxxP', len(code) // 8, ctypes.addressof(held)))) == 0
libc.prctl(38, 1, 0, 0, 0)
install(0, (450, 0x7ffc0000), (451, 0x00050001))
libc.syscall(450), libc.syscall(451)
install(2, (452, 0x00050002), (453, 0x7fff0000))
libc.syscall(452), libc.syscall(453)
install(0, (454, 0x80000000))
libc.syscall(454)
"""
    _, errors = host.usk("run", "-v", "--", "python3", "-c", program, code=159)
    said = re.findall(r"^usk: seccomp: thread \d+, call (\d+) at 0x\w+: (\w+) \(0x(\w+)\)$", errors,
                      re.M)
    assert said == [("450", "log", "7ffc0000"), ("452", "errno", "50002"),
                    ("454", "kill_process", "80000000")], errors


@case
def output_that_cannot_be_written(host):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([host.usk_path, "list"], env=host.environment, stdout=full, text=True,
                              stderr=subprocess.PIPE, timeout=LIMIT_SECONDS)
    assert done.returncode == 125 and done.stderr.count("\n") == 1, done


@case
def nonsense_on_the_socket(host):
    host.sandbox("sleep", "100")
    path = os.path.join(host.runtime, "usk", host.entries()[0], "control")
    deep = b'{"op":' + b"[" * 100000
    for message in (b"\xff" * 4, struct.pack("<I", 3) + b"[1]", struct.pack("<I", 2) + b"{}",
                    struct.pack("<I", len(deep)) + deep,
                    struct.pack("<I", 34) + b'{"op":"exec","argv":[1],"env":{}} ',
                    struct.pack("<I", 29) + b'{"op":"kill","signal":"nine"}', b"\x01"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT_SECONDS)
            client.connect(path)
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert "sleep 100" in host.usk("ps", "box")[0]


@case
def no_place_for_the_entry(host):
    """Another's directory is not used; a sandbox without a name runs all the same."""
    os.mkdir(os.path.join(host.runtime, "usk"), 0o755)
    os.chmod(os.path.join(host.runtime, "usk"), 0o755)
    host.usk("run", "--", "true")
    assert host.entries() == []


CRASH = "ulimit -c unlimited; mkdir -p /tmp/crash; cd /tmp/crash; sh -c 'kill -SEGV $$'; echo $?; "


@case
def core_pattern_names_the_file(host):
    text, _ = host.usk("run", "--", "bash", "-c", "echo 'c.%e.%s.%%' >/proc/sys/kernel/core_pattern; "
                       "echo 1 >/proc/sys/kernel/core_uses_pid; " + CRASH + "ls")
    code, name = text.split()
    assert code == "139" and re.fullmatch(r"c\.sh\.11\.%\.\d+", name), text
    text, _ = host.usk("run", "--", "bash", "-c", "echo >/proc/sys/kernel/core_pattern; " + CRASH +
                       "ls -A")
    assert text == "139\n", text


@case
def core_pattern_starts_a_program(host):
    helper = ("printf '#!/bin/sh\\ncat >/tmp/got; echo \"$@\" $(id -u) $(pwd) "
              "$(grep -c CoreDumping:.1 /proc/$1/status) >/tmp/said\\n' >/tmp/helper; "
              "chmod +x /tmp/helper; echo 1 >/proc/sys/kernel/core_pipe_limit; "
              "echo '|/tmp/helper %p %s' >/proc/sys/kernel/core_pattern; ")
    text, _ = host.usk("run", "--", "bash", "-c", helper + CRASH +
                       "cat /tmp/said; head -c 4 /tmp/got | tail -c 3; ls /tmp/core 2>&1 | wc -l")
    assert re.fullmatch(r"139\n\d+ 11 0 / 1\nELF1\n", text), text


@case
def dumpable_for_root_only(host):
    """suid_dumpable 2: root's file, under an absolute name; else none."""
    crash = ("echo 2 >/proc/sys/fs/suid_dumpable; echo {} >/proc/sys/kernel/core_pattern; "
             "mkdir -m 777 /tmp/d; cd /tmp/d; ulimit -c unlimited; "
             "python3 -c 'import os; os.setuid(7); os.abort()'; stat -c '%u %a' * 2>&1 | tail -n 1")
    text, _ = host.usk("run", "--", "bash", "-c", crash.format("/tmp/d/made"))
    assert text == "0 600\n", text
    text, _ = host.usk("run", "--", "bash", "-c", crash.format("made"))
    assert "No such file" in text, text
    host.usk("run", "--", "bash", "-c", "echo 3 >/proc/sys/fs/suid_dumpable", code=1)


@case
def output_goes_behind_what_stands_in_the_file(host):
    with tempfile.TemporaryFile() as output:
        output.write(b"first\n")
        output.flush()
        for command in (["echo", "second"], ["cat", "/proc/sys/kernel/ostype"], ["echo", "last"]):
            subprocess.run([host.usk_path, "run", "--", *command], env=host.environment, stdout=output,
                           timeout=LIMIT_SECONDS, check=True)
        output.seek(0)
        assert output.read() == b"first\nsecond\nLinux\nlast\n"
