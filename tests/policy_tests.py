"""Policies at work: each category at each of its entries, races, explanations, logs, /dev/syd.

tests/guest/policy is the program inside: it tries every way to each kind of access and says what came
of it.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import hosts

CASES = {}
# Everything is allowed; a case takes away what it is about.
ALL = ["--policy", "container", "--policy-rule", "sandbox/walk,list,chdir,ioctl:on",
       "--policy-rule", "allow/ioctl+*"]


def case(function):
    CASES[function.__name__] = function
    return function


# What is asked where platforms differ: memory, programs, signals, other threads meanwhile.
ON_PTRACE_TOO = ["without_rules_against_it_everything_works", "each_way_to_read", "each_way_to_exec",
                 "each_way_to_net_connect", "races_of_links", "races_of_renames", "hidden_names_are_not_there",
                 "actions_do_what_they_say", "commands_from_inside", "ghosts_compute_and_end", "hardening",
                 "limits", "programs_that_crash_are_not_started_again", "changes_of_ids_follow_rules",
                 "signal_frames_are_the_kernels", "a_restored_sandbox_has_its_policy"]


def on_ptrace(test):
    def run(host):
        host.run_flags = ["--platform=ptrace"]
        return test(host)
    return run


def jobs(build, options):
    cases = CASES | {f"{name}.ptrace": on_ptrace(CASES[name]) for name in ON_PTRACE_TOO}
    return hosts.case_jobs("policy", cases, build, options)


def rules(*texts):
    return [word for text in texts for word in ("--policy-rule", text)]


class Box:
    """A directory that a sandbox shares with the host, with what each way needs."""

    def __init__(self, host):
        self.host = host
        self.probe = os.path.join(os.path.dirname(host.usk_path), "guest", "policy")
        self.path = pathlib.Path(host.runtime, "box")
        self.path.mkdir()
        self.tools = pathlib.Path(host.runtime, "tools")
        self.tools.mkdir()
        for directory in (host.runtime, self.path, self.tools):
            os.chmod(directory, 0o755)
        shutil.copy(self.probe, self.tools / "probe")

    def fill(self, ways):
        for way in ways:
            d = self.path / way
            shutil.rmtree(d, ignore_errors=True)
            d.mkdir()
            (d / "f").write_text("contents")
            (d / "d").mkdir()
            (d / "l").symlink_to("f")
            shutil.copy(self.probe, d / "x")
            (d / "s").write_text(f"#!{self.inside('exec_script')}/x exit\n")
            os.chmod(d / "s", 0o755)

    @staticmethod
    def inside(way):
        return f"/box/{way}"

    def run(self, *command, flags=(), **more):
        return self.host.usk("run", "--rw", f"{self.path}:/box", "--ro", f"{self.tools}:/tools",
                             "--tmpfs", "/dir", *flags, "--", *command, **more)

    def ways(self, *flags):
        """What came of each way: {name: (categories, result)}."""
        output, errors = self.run("/tools/probe", "ways", "/box", "/dir", flags=flags)
        found = {}
        for line in output.splitlines():
            name, categories, result = line.split()
            found[name] = (categories.split(","), result)
        return found, errors


def box_of(host):
    box = Box(host)
    source = pathlib.Path(__file__).parent / "guest" / "policy" / "ops.cc"
    box.names = re.findall(r'^    \{"(\w+)", "', source.read_text(), re.M)
    assert len(box.names) > 60, box.names
    return box


CATEGORIES = ["read", "write", "exec", "create", "delete", "rename", "readlink", "symlink",
              "truncate", "chdir", "readdir", "mkdir", "rmdir", "chown", "chgrp", "chmod", "chattr",
              "chroot", "notify", "utime", "mkbdev", "mkcdev", "mkfifo", "mktemp", "net/bind",
              "net/connect", "stat"]
HIDING = ("ENOENT",)
# What the file system of the host cannot do here natively either.
KNOWN = {}


@case
def without_rules_against_it_everything_works(host):
    box = box_of(host)
    box.fill(box.names)
    plain, _ = box.ways()
    box.fill(box.names)
    ruled, errors = box.ways(*ALL, "--explain")
    assert set(plain) == set(box.names), set(plain) ^ set(box.names)
    assert plain == ruled, ({n: (plain[n], ruled[n]) for n in plain if plain[n] != ruled[n]}, errors)
    failing = {n: r for n, (_, r) in plain.items() if r != "OK"}
    assert not failing, failing


def check_category(host, box, category, *flags, pattern, mark=""):
    """Each way that asks for the category is refused, and no other."""
    box.fill(box.names)
    found, errors = box.ways(*ALL, *flags, *rules(*(f"deny/{category}+{p}" for p in pattern)))
    wrong = {}
    for name, (categories, result) in found.items():
        asks = mark + category in categories
        refused = result in ("EACCES", "ENOENT")
        if asks != refused or not (refused or result == "OK"):
            wrong[name] = (categories, result)
    assert not wrong, (category, wrong, errors[-600:])


def category_case(category):
    def run(host):
        check_category(host, box_of(host), category, pattern=("/box/*/**", "/dir/***", "/box/*"))
    run.__name__ = "each_way_to_" + category.replace("/", "_")
    case(run)


for each in CATEGORIES:
    category_case(each)


@case
def each_way_to_things_without_a_path(host):
    box = box_of(host)
    for category, pattern in (("sendfd", "!socket"), ("recvfd", "!socket"), ("create", "!**")):
        check_category(host, box, category, pattern=[pattern], mark="!")
    check_category(host, box, "net/bind", pattern=["!unnamed"], mark="!")
    check_category(host, box, "net/bind", pattern=["@*"], mark="@")
    check_category(host, box, "net/connect", pattern=["@*"], mark="@")


@case
def each_way_to_addresses(host):
    box = box_of(host)
    for category in ("net/bind", "net/connect", "net/accept"):
        check_category(host, box, category, pattern=["any!*"], mark="#")
    check_category(host, box, "net/link", pattern=["route"], mark="#")


NETWORK = """
import errno, socket
def tell(what, call):
    try: call(); print(what, "OK")
    except OSError as e: print(what, errno.errorcode[e.errno])
def tcp(address):
    s = socket.socket(); s.settimeout(5); s.connect(address)
def udp(address):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address)
servers = [socket.create_server(("0.0.0.0", port)) for port in (8000, 8080, 9000)]
for host, port in (("127.0.0.1", 8000), ("127.0.0.2", 8000), ("127.0.0.1", 8080), ("127.0.0.1", 9000)):
    tell(f"tcp {host} {port}", lambda: tcp((host, port)))
tell("udp 127.0.0.2 8000", lambda: udp(("127.0.0.2", 8000)))
tell("udp 127.0.0.1 8080", lambda: udp(("127.0.0.1", 8080)))
tell("six", lambda: socket.socket(socket.AF_INET6).bind(("::1", 0)))
tell("mapped", lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.2", 8000)))
"""


@case
def addresses_are_networks_and_ports(host):
    output, errors = host.usk(
        "run", *ALL, "--explain",
        *rules("deny/net/connect+127.0.0.2/31!*", "deny/net/connect+tcp!loopback!8080-8999",
               "deny/net/bind+::/0!*"), "--", "python3", "-c", NETWORK)
    assert output.splitlines() == [
        "tcp 127.0.0.1 8000 OK", "tcp 127.0.0.2 8000 EACCES", "tcp 127.0.0.1 8080 EACCES",
        "tcp 127.0.0.1 9000 OK", "udp 127.0.0.2 8000 EACCES", "udp 127.0.0.1 8080 OK",
        "six EACCES", "mapped EACCES"], (output, errors)
    assert "net/connect" in errors and "127.0.0.2" in errors, errors


@case
def blocked_networks_are_not_reached(host):
    output, errors = host.usk("run", *ALL, *rules("block+127.0.0.2/32"), "--", "python3", "-c",
                              NETWORK)
    refused = [line for line in output.splitlines() if not line.endswith("OK")]
    assert refused == ["tcp 127.0.0.2 8000 EACCES", "udp 127.0.0.2 8000 EACCES", "mapped EACCES"], (
        output, errors)
    # The line that blocks is told, and what follows can be chosen.
    _, errors = host.usk("run", *ALL, *rules("block+127.0.0.0/31", "default/block:kill"), "--explain",
                         "--", "python3", "-c", NETWORK, code=137)
    assert "--policy-rule block+127.0.0.0/31 [kill]" in errors, errors
    output, errors = host.usk("run", *ALL, *rules("block+127.0.0.2", "default/block:warn"), "--explain",
                              "--", "python3", "-c", NETWORK)
    assert "EACCES" not in output and "usk: warning #1:" in errors, (output, errors)


FAMILIES = """
import errno, socket
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    for call in (lambda: s.bind((address, 9)), lambda: s.connect((address, 9))):
        try: call(); print("OK")
        except OSError as e: print(errno.errorcode[e.errno])
"""


@case
def families_can_be_left_out(host):
    for profile, want in (("noipv4", "EACCES EACCES OK OK"), ("4", "OK OK EACCES EACCES")):
        output, errors = host.usk("run", *ALL, "--policy", profile, "--", "python3", "-c", FAMILIES)
        assert output.split() == want.split(), (profile, output, errors)


@case
def hosts_have_the_addresses_of_a_file(host):
    """Rules by name: who is confined has no say in what names mean."""
    hosts_file = pathlib.Path(host.runtime, "hosts")
    hosts_file.write_text("127.0.0.2 files.example.org # here\n127.0.0.3 example.org\n")
    named = rules("sandbox/net:on", "allow/net/bind+any!*", "allow/net/accept+any!*",
                  "allow/net/connect+name!*.example.org!8000")
    flags = ["--policy", "off", *named]
    output, errors = host.usk("run", *flags, "--policy-hosts", str(hosts_file), "--", "python3", "-c",
                              NETWORK)
    connected = [line for line in output.splitlines() if line.endswith("OK") and "six" not in line]
    assert connected == ["tcp 127.0.0.2 8000 OK", "udp 127.0.0.2 8000 OK", "mapped OK"], (output, errors)
    script = "echo 127.0.0.1 files.example.org > /etc/hosts; exec python3 -c \"$0\""
    again, errors = host.usk("run", *flags, "--policy-hosts", str(hosts_file), "--", "sh", "-c", script,
                             NETWORK)
    assert again == output, (again, errors)
    host.refused("run", *flags, "--policy-hosts", "/no/such", "--", "true", saying="/no/such")


@case
def warn_only_denies_nothing(host):
    box = box_of(host)
    box.fill(box.names)
    found, errors = box.ways(*ALL, *rules("deny/all+/***"), "--policy-warn", "--explain")
    failing = {n: r for n, (_, r) in found.items() if r != "OK"}
    assert not failing and "usk: warning #1:" in errors, (failing, errors[:400])


def raced(host, how, want_some):
    box = Box(host)
    rounds = 6000
    for d, text in (("open", "allowed"), ("closed", "SECRET")):
        (box.path / d / "d").mkdir(parents=True)
        (box.path / d / "f").write_text(text)
    (box.path / "open" / "link").symlink_to("f")
    (box.path / "open" / "way").symlink_to(".")
    output, errors = box.run("/tools/probe", "race", how, "/box", str(rounds),
                             flags=[*ALL, *rules("deny/read+/box/closed/***")])
    allowed, secret, nothing = (int(n) for n in re.findall(r"\d+", output))
    assert secret == 0 and allowed + nothing == rounds, (output, errors)
    if want_some:
        assert allowed > 0 and nothing > 0, output


@case
def races_of_links(host):
    raced(host, "links", True)


@case
def races_of_directories(host):
    raced(host, "directories", True)


@case
def races_of_renames(host):
    raced(host, "renames", False)


@case
def no_way_around_by_mounts_or_roots(host):
    box = Box(host)
    (box.path / "closed").mkdir()
    (box.path / "closed" / "f").write_text("SECRET")
    tries = [
        "mkdir /dir/m && mount --bind /box/closed /dir/m && cat /dir/m/f",
        "chroot /box cat /closed/f",
        "unshare -m sh -c 'mount --bind /box/closed /dir && cat /dir/f'",
        "unshare -rm sh -c 'mount --bind /box/closed /dir && cat /dir/f'",
        "cd /box/closed && cat f",
        "cat < /box/closed/f",
        "cat /proc/$$/root/box/closed/f",
        "ln /box/closed/f /box/g; cat /box/g",
        "mv /box/closed /box/opened; cat /box/opened/f",
        "cp /bin/busybox /box/cat 2>/dev/null; dd if=/box/closed/f",
        "python3 -c \"import os; d = os.open('/box/closed', os.O_PATH); "
        "print(os.read(os.open('f', os.O_RDONLY, dir_fd=d), 99))\"",
    ]
    for script in tries:
        for as_user in ([], ["--user", "1000"]):
            done = subprocess.run([host.usk_path, "run", "--rw", f"{box.path}:/box", "--tmpfs",
                                   "/dir", *as_user, *ALL, *rules("deny/read+/box/closed/***"),
                                   "--", "sh", "-c", script], env=host.environment, text=True,
                                  capture_output=True, timeout=hosts.LIMIT_SECONDS)
            assert "SECRET" not in done.stdout + done.stderr, (script, done.stdout)
    assert (box.path / "closed" / "f").read_text() == "SECRET"


@case
def cores_are_written_where_the_program_may(host):
    box = Box(host)
    (box.path / "closed").mkdir()
    crash = ("ulimit -c unlimited; echo /box/closed/core > /proc/sys/kernel/core_pattern;"
             "sh -c 'kill -SEGV $$'; ls /box/closed | wc -l")
    for denied, files in ((rules("deny/create+/box/closed/***"), "0\n"), ([], "1\n")):
        output, _ = box.run("sh", "-c", crash, flags=[*ALL, *denied])
        assert output == files, (denied, output)


@case
def message_queues_are_named(host):
    box = Box(host)
    program = ("import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
               "q = c.mq_open(b'/q', os.O_CREAT | os.O_RDWR, 0o600, None)\n"
               "print('open' if q >= 0 else os.strerror(ctypes.get_errno()))\n")
    for flags, want in ((ALL, "open"), ([*ALL, *rules("deny/create+!mqueue/*")], "Permission denied"),
                        ([*ALL, *rules("deny/create+/q")], "open")):
        output, errors = box.run("python3", "-c", program, flags=[*flags])
        assert output.strip() == want, (flags, output, errors)


@case
def hidden_names_are_not_there(host):
    box = Box(host)
    (box.path / "hidden").mkdir()
    (box.path / "hidden" / "f").write_text("x")
    (box.path / "shown").write_text("x")
    flags = [*ALL, *rules("deny/all+/box/hidden/***")]
    output, _ = box.run("sh", "-c", "ls /box; cat /box/hidden/f; test -e /box/hidden || echo none;"
                        "cat /box/nothing 2>&1", flags=flags, code=1)
    assert output.split() == ["shown", "none", "cat:", "/box/nothing:", "No", "such", "file", "or",
                              "directory"], output


@case
def masks_and_files_that_only_grow(host):
    box = Box(host)
    for name in ("masked", "log"):
        (box.path / name).write_text("old\n")
    (box.path / "dir").mkdir()
    (box.path / "dir" / "f").write_text("inside")
    flags = [*ALL, *rules("mask+/box/masked", "append+/box/log", "append+/box/fresh",
                          "mask+/box/dir/***:/dev/null:/dir", "deny/stat+/box/masked")]
    script = ("cat /box/masked; echo new > /box/masked; echo one > /box/log; echo two >> /box/log;"
              "stat -c %t,%T /box/masked; stat -L -c %F /box/dir; ls /box/dir; test -r /box/dir/f && wc -c < "
              "/box/dir/f; rm -f /box/log; mv /box/log /box/x; truncate -s 0 /box/log;"
              "echo a > /box/fresh; echo b > /box/fresh; cat /box/fresh; rm -f /box/masked; true")
    output, _ = box.run("sh", "-c", script, flags=flags)
    assert output == "1,3\ndirectory\n0\na\nb\n", output
    assert (box.path / "log").read_text() == "old\none\ntwo\n", (box.path / "log").read_text()
    assert (box.path / "masked").read_text() == "old\n"


@case
def checksums_of_programs(host):
    box = Box(host)
    shutil.copy(box.probe, box.path / "good")
    shutil.copy(box.probe, box.path / "bad")
    with open(box.path / "bad", "ab") as file:
        file.write(b"x")
    sums = subprocess.run(["sha256sum", box.probe], text=True, capture_output=True, check=True)
    sha = sums.stdout.split()[0]
    flags = [*ALL, *rules("sandbox/force:on", "default/force:allow",
                          f"force+/box/good:sha256:{sha}:deny", f"force+/box/bad:sha256:{sha}:kill")]
    box.run("/box/good", flags=flags)
    host.refused("run", "--rw", f"{box.path}:/box", *flags, "--", "/box/bad", code=126,
                 saying="Permission denied")
    done, _ = box.run("sh", "-c", "(/box/bad); echo $?", flags=flags)
    assert done == "137\n", done
    # Libraries, too, whether the loader or the program maps them; and what the map does not know.
    (box.path / "l.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-o", box.path / "l.so", box.path / "l.c"], check=True)
    load = ["python3", "-c", "import ctypes\ntry: print(ctypes.CDLL('/box/l.so').answer())\n"
            "except OSError: print('refused')\n"]
    right = subprocess.run(["sha512sum", box.path / "l.so"], text=True, capture_output=True,
                           check=True).stdout.split()[0]
    for digits, want in ((right, "42\n"), ("0" * 128, "refused\n")):
        done, errors = box.run(*load, flags=[*ALL, *rules("sandbox/force:on", "default/force:allow",
                                                          f"force+/box/l.so:sha512:{digits}")])
        assert done == want, (digits, done, errors)
    box.run("/box/good", flags=[*ALL, *rules("sandbox/force:on")], code=126)


@case
def actions_do_what_they_say(host):
    box = Box(host)
    (box.path / "f").write_text("x")
    for action, output in (("deny", "1\n"), ("filter", "1\n"), ("warn", "x0\n"), ("panic", "1\n"),
                           ("kill", "137\n"), ("abort", "134\n")):
        got, errors = box.run("sh", "-c", "(exec cat /box/f); echo $?",
                              flags=[*ALL, "--explain", *rules(f"{action}/read+/box/f")])
        assert got == output, (action, got, errors)
        assert ("usk: " in errors) == (action != "filter"), (action, errors)
    box.run("sh", "-c", "cat /box/f; echo on", flags=[*ALL, *rules("exit/read+/box/f")], code=13)
    # With the error that the call would have had: nothing is there.
    box.run("sh", "-c", "test -e /box/f; echo on", flags=[*ALL, *rules("exit/stat+/box/f")], code=2)
    stops = "sh -c 'cat /box/f; echo gone on' & sleep 0.3; kill -CONT -1 2>/dev/null; wait"
    got, _ = box.run("sh", "-c", "set -m; " + stops, flags=[*ALL, *rules("stop/read+/box/f")])
    assert "gone on" in got, got


@case
def explanations(host):
    box = Box(host)
    (box.path / "f").write_text("x")
    rule_file = pathlib.Path(host.runtime, "rules")
    rule_file.write_text("include_profile container\n\ndeny/read+/box/f\n")
    os.chmod(rule_file, 0o644)
    _, errors = box.run("cat", "/box/f", flags=["--policy", str(rule_file), "--explain"], code=1)
    line = errors.splitlines()[0]
    assert re.fullmatch(r'usk: denied #1: cat\[\d+\] openat read "/box/f" \(EACCES\): '
                        rf"{rule_file}:3 deny/read\+/box/f; to allow it: allow/read\+/box/f",
                        line), line
    output, _ = box.run("cat", "/box/f", flags=["--policy", str(rule_file),
                                                *rules("allow/read+/box/f")])
    assert output == "x"


@case
def why_of_a_running_sandbox(host):
    process = host.sandbox("sh", "-c", "cat /etc/passwd; sleep 100",
                           flags=[*ALL, *rules("deny/read+/etc/passwd")])
    host.until(lambda: host.usk("why", "box")[0])
    output, _ = host.usk("why", "box")
    assert 'read "/etc/passwd"' in output and "--policy-rule deny/read+/etc/passwd" in output, output
    entry = json.loads(host.usk("why", "box", "--json")[0])
    assert entry["comm"] == "cat" and entry["tree"][1]["comm"] == "sh", entry
    process.kill()
    host.usk("why", "box", code=125)


@case
def audit_log_is_a_chain(host):
    log = pathlib.Path(host.runtime, "log")
    host.usk("run", *ALL, *rules("deny/read+/etc/passwd"), "--audit", str(log), "--", "sh", "-c",
             "cat /etc/passwd; cat /etc/passwd; true")
    assert "4 entries" in host.usk("audit", "verify", str(log))[0]
    lines = log.read_text().splitlines(True)
    entry = json.loads(lines[1])
    assert entry["object"] == "/etc/passwd" and entry["ppid"] and entry["call"] == "openat", entry
    for broken in (lines[:1] + lines[2:], [lines[0], lines[2], lines[1], lines[3]], lines[:3],
                   [lines[0], lines[1].replace("passwd", "shadow"), *lines[2:]], [*lines[:3], "{}\n"],
                   [*lines[:3], lines[3][:-1]], []):
        log.write_text("".join(broken))
        host.refused("audit", "verify", str(log), code=1, saying=str(log))


@case
def nobody_takes_over_who_may_change_the_policy(host):
    """lock:exec trusts the first process: others neither trace it nor reach its memory."""
    program = """
import ctypes, errno, os
libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()
def told(r): return errno.errorcode[ctypes.get_errno()] if r < 0 else "done"
if os.fork() == 0:
    try: memory = open(f"/proc/{parent}/mem", "r+b", 0) and "done"
    except OSError as e: memory = errno.errorcode[e.errno]
    traced = told(libc.ptrace(0x4206, parent, 0, 0))  # PTRACE_SEIZE
    taken = told(libc.syscall(438, os.pidfd_open(parent), 0, 0))  # pidfd_getfd
    print(traced, memory, taken, flush=True)
    os._exit(0)
os.wait()
"""
    for lock, want in (("lock:exec", ["EPERM", "EACCES", "EPERM"]), ("lock:on", ["done"] * 3)):
        said = host.usk("run", *ALL, *rules(lock), "--", "python3", "-c", program)
        assert said[0].split() == want, (lock, said)


@case
def commands_from_inside(host):
    box = Box(host)
    (box.path / "f").write_text("x")
    deny = rules("deny/read+/box/f")

    def say(script, *locks):
        return box.run("sh", "-c", script, flags=[*ALL, *deny, *rules(*locks)])[0].split()

    allow = "test -c /dev/syd/allow/read+/box/f; cat /box/f && echo"
    assert say(f"{allow} || echo no") == ["no"]
    assert say(f"{allow} || echo no", "lock:off") == ["x"]
    assert say(f"{allow} || echo no", "lock:exec") == ["x"]
    assert say(f"sh -c '{allow} || echo no; true'", "lock:exec") == ["no"]
    assert say(f"{allow} || echo no", "lock:drop") == ["no"]
    assert say(f"{allow} || echo no", "lock:read") == ["no"]
    drop = "test -c /dev/syd/deny/read+/etc/passwd; cat /etc/passwd >&2 || echo no"
    assert say(drop, "lock:drop") == ["no"]
    assert say("test -c /dev/syd/sandbox/read? && echo on; test -c /dev/syd/sandbox/force? || echo off",
               "lock:off") == ["on", "off"]
    assert say("test -c /dev/syd/frob && echo yes; test -c /dev/syd/allow/read+x && echo yes; "
               "test -c /dev/syd && echo there", "lock:off") == ["there"]
    assert say(f"test -c /dev/syd/lock:on; {allow} || echo no", "lock:off") == ["no"]
    assert say(f"{allow} || echo no", "lock:ipc") == ["no"]
    # The first process is gone: nobody is left who may.
    late = f"(sleep 0.5; {allow} || echo no) & exit 0"
    assert box.run("sh", "-c", late, flags=["--exit-wait-all", *ALL, *deny,
                                            *rules("lock:exec")])[0].split() == ["no"]
    _, errors = box.run("sh", "-c", "test -c /dev/syd/stat; test -c /dev/syd/dump",
                        flags=[*ALL, *deny, *rules("lock:off")])
    assert errors.startswith("lock:off\n") and "deny/read+/box/f  # --policy-rule\n" in errors, errors
    assert json.loads(errors[errors.index("{"):])["lock"] == "off", errors
    box.run("sh", "-c", "test -c /dev/syd/panic; sleep 100", flags=[*ALL, *rules("lock:off")], code=127)
    for lock, readable in (("off", True), ("read", True), ("on", False)):
        output, _ = box.run("sh", "-c", "cat /dev/syd || true", flags=[*ALL, *rules(f"lock:{lock}")])
        assert bool(output) == readable, (lock, output[:100])
        if readable:
            assert json.loads(output)["lock"] == lock


@case
def commands_from_outside(host):
    """usk policy tell: as long as the lock lets somebody."""
    box = Box(host)
    (box.path / "f").write_text("x")
    loop = "while sleep 0.05; do cat /box/f 2>/dev/null && echo || echo no; done"
    for lock, may in (("ipc", True), ("off", True), ("exec", True), ("drop", None), ("read", False),
                      ("on", False)):
        process = host.start("run", "--name", lock, "--rw", f"{box.path}:/box", *ALL,
                             *rules("deny/read+/box/f", f"lock:{lock}"), "--", "sh", "-c", loop)
        assert process.stdout.readline() == "no\n"
        if may:
            host.usk("policy", "tell", lock, "allow/read+/box/f")
            while process.stdout.readline() != "x\n":
                pass
            host.usk("policy", "tell", lock, "lock:on")
        else:
            host.refused("policy", "tell", lock, "allow/read+/box/f",
                         saying="stricter" if may is None else f"lock:{lock}")
        if may is None:
            host.usk("policy", "tell", lock, "deny/read+/etc/passwd", "default/read:kill")
        if may is not None:
            host.refused("policy", "tell", lock, "deny/write+/x", saying="locked")
        process.kill()
        process.wait()
    process = host.start("run", "--name", "bad", *ALL, *rules("lock:ipc"), "--", "sleep", "100")
    host.until(lambda: any(s["name"] == "bad" for s in host.list()))
    for command in ("frob", "ghost", "allow/frob+/x"):
        host.refused("policy", "tell", "bad", command, saying=command)
    host.usk("policy", "tell", "bad", "panic")
    assert process.wait(20) == 127
    process = host.sandbox("sleep", "100", name="none")
    host.refused("policy", "tell", "none", "lock:on", saying="no policy")


@case
def programs_gain_nothing(host):
    """No set-user-ID bits: none is made, and none counts."""
    box = Box(host)
    shutil.copy("/usr/bin/id", box.path / "id")
    os.chmod(box.path / "id", 0o4755)
    flags = ["--user", "1000:1000"]
    assert box.run("/box/id", "-u", flags=flags)[0] == "0\n"
    lifted = ["--policy", "user", *rules("allow/all+/box/***")]
    assert box.run("/box/id", "-u", flags=[*flags, *lifted])[0] == "1000\n"
    assert box.run("/box/id", "-u", flags=[*flags, *lifted, *rules(
        "trace/allow_unsafe_setid_exec:1")])[0] == "0\n"
    script = "touch /box/new; chmod 6755 /box/new; stat -c %a /box/new"
    assert box.run("sh", "-c", script, flags=lifted)[0] == "755\n"
    assert box.run("sh", "-c", script, flags=[*lifted, *rules("trace/force_umask:off")])[0] == "6755\n"


@case
def ghosts_compute_and_end(host):
    box = Box(host)
    program = ("import os\n"
               "os.stat('/dev/syd/ghost')\n"
               "for call in (lambda: os.open('/etc/passwd', 0), os.fork, lambda: os.stat('/')):\n"
               "  try: call(); print('done')\n"
               "  except OSError as e: print(e.errno)\n"
               "print(sum(range(1000)))\n")
    output, errors = box.run("python3", "-S", "-c", program, flags=[*ALL, *rules("lock:off")])
    assert output.split() == ["38", "38", "38", "499500"], (output, errors)
    box.run("python3", "-S", "-c", "import os; os.stat('/dev/syd/ghost')", flags=ALL, code=1)


@case
def hardening(host):
    """What is refused unless the policy lifts it."""
    box = Box(host)
    (box.path / "fixed.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-no-pie", "-o", box.path / "fixed", box.path / "fixed.c"], check=True)
    memory = ("import mmap\ntry: mmap.mmap(-1, 4096, prot=7); print('mapped')\n"
              "except PermissionError: print('refused')\n")
    written = ("import mmap, os\nfd = os.open('/dir/x', os.O_RDWR | os.O_CREAT)\nos.write(fd, bytes(4096))\n"
               "try: mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC); print('mapped')\n"
               "except PermissionError: print('refused')\n")
    shared = written.replace("O_RDWR", "O_RDONLY").replace("os.write(fd, bytes(4096))", "").replace(
        "PRIVATE", "SHARED").replace("'/dir/x'", "'/tools/probe'").replace(" | os.O_CREAT", "")
    memfd = ("import os\nfd = os.memfd_create('x')\nos.write(fd, open('/tools/probe', 'rb').read())\n"
             "try: os.execve(fd, ['x', 'exit'], {})\nexcept PermissionError: print('refused')\n")
    for option, command, refused in (
            ("trace/allow_unsafe_exec_memory", ["python3", "-c", memory], "refused\n"),
            ("trace/allow_unsafe_exec_memory", ["python3", "-c", written], "refused\n"),
            ("trace/allow_unsafe_exec_memory", ["python3", "-c", shared], "refused\n"),
            ("trace/allow_unsafe_symlinks", ["sh", "-c", "umask 0; mkdir /dir/d; echo x > /dir/f; ln -s ../f "
             "/dir/d/l; chmod 1755 /dir/d; cat /dir/d/l 2>/dev/null || echo refused"], "refused\n"),
            ("trace/allow_unsafe_symlinks", ["sh", "-c", "mkdir /dir/d /dir/t; echo x > /dir/t/f; ln -s ../t "
             "/dir/d/l; chmod 775 /dir/d; cat /dir/d/l/f 2>/dev/null || echo refused"], "refused\n"),
            ("trace/allow_unsafe_hardlinks", ["sh", "-c", "echo > /dir/f; chmod 2770 /dir/f; ln /dir/f /dir/g "
             "2>/dev/null || echo refused"], "refused\n"),
            ("trace/allow_unsafe_hardlinks", ["sh", "-c", "mkfifo /dir/p; ln /dir/p /dir/g 2>/dev/null || "
             "echo refused"], "refused\n"),
            ("trace/allow_unsafe_create", ["sh", "-c", "echo > /dir/f; chmod 620 /dir/f; echo > /dir/f "
             "|| echo refused"], "refused\n"),
            ("trace/allow_unsafe_create", ["sh", "-c", "mkdir /dir/d; cd /dir/d; echo > f; chown 7 f; (echo > f) "
             "2>/dev/null || echo refused"], "refused\n"),
            ("trace/allow_unsafe_create", ["sh", "-c", "ln -s /dir/f /dir/l; (echo > /dir/l) 2>/dev/null || "
             "echo refused"], "refused\n"),
            ("trace/allow_unsafe_memfd", ["python3", "-c", memfd], "refused\n"),
            ("trace/allow_unsafe_exec_nopie", ["sh", "-c", "/box/fixed 2>/dev/null || echo refused"],
             "refused\n"),
            ("trace/allow_unsafe_filename", ["sh", "-c", "echo > '/dir/a b;c' || echo refused"],
             "refused\n"),
            ("trace/allow_unsafe_mount", ["sh", "-c", "mount -t tmpfs x /dir 2>/dev/null || echo refused"],
             "refused\n")):
        for on in (0, 1):
            output, errors = box.run(*command, flags=[*ALL, *rules(f"{option}:{on}")])
            assert (output == refused) == (on == 0), (option, on, output, errors)
    for option, script in (("trace/deny_dotdot", "cat /etc/../etc/hostname"),
                           ("trace/force_no_symlinks", "cat /dir/link"),
                           ("trace/force_no_magiclinks", "cat /proc/self/exe"),
                           ("trace/force_ro_open", "echo > /dir/new"),
                           ("trace/deny_exec_elf_static", "/tools/probe"),
                           ("trace/deny_exec_elf_dynamic", "/bin/true"),
                           ("trace/deny_exec_script", "/box/script")):
        (box.path / "script").write_text("#!/bin/sh\n")
        os.chmod(box.path / "script", 0o755)
        program = f"touch /dir/f; ln -s f /dir/link; test -c /dev/syd/{option}:1; ({script}) >/dev/null"
        for on in (0, 1):
            script_on = program if on else program.replace(":1", ":0")
            box.run("sh", "-c", script_on + "; test $? -ne 0" if on else script_on,
                    flags=[*ALL, *rules("lock:off")])


@case
def trusted_paths(host):
    box = Box(host)
    shutil.copy(box.probe, box.path / "x")
    flags = [*ALL, *rules("sandbox/tpe:on")]
    box.run("/box/x", flags=flags)
    os.chmod(box.path / "x", 0o777)
    box.run("/box/x", flags=flags, code=126)
    os.chmod(box.path / "x", 0o755)
    os.chmod(box.path, 0o777)
    box.run("/box/x", flags=flags, code=126)
    output, _ = box.run("sh", "-c", "/box/x exit; echo $?", flags=[*flags, *rules("default/tpe:kill")])
    assert output == "137\n", output
    # Whom it is for, and whose files are trusted.
    user = ["--user", "1000:50"]
    for extra, code in (["tpe/gid:50"], 126), (["tpe/gid:51"], 0), (["tpe/gid:50", "tpe/negate:1"], 0), (
            ["tpe/gid:51", "tpe/negate:1"], 126), (["tpe/gid:51", "tpe/gid:none"], 126):
        box.run("/box/x", flags=[*user, *flags, *rules(*extra)], code=code)
    os.chmod(box.path, 0o755)
    if os.getuid() == 0:
        os.chown(box.path / "x", 2000, 50)
        for extra, code in ([], 0), (["tpe/user_owned:1"], 126), (["tpe/root_owned:1"], 126):
            box.run("/box/x", flags=[*user, *flags, *rules(*extra)], code=code)
        os.chown(box.path / "x", 1000, 50)
        box.run("/box/x", flags=[*user, *flags, *rules("tpe/user_owned:1")])
        box.run("/box/x", flags=[*user, *flags, *rules("tpe/root_owned:1")], code=126)
    # /box is a mount of its own.
    box.run("/box/x", flags=[*flags, *rules("tpe/root_mount:1")], code=126)
    box.run("/bin/true", flags=[*flags, *rules("tpe/root_mount:1")])


@case
def lists_of_lock_are_those_of_landlock(host):
    """What they are for, by the calls themselves; the decisions are src/policy/policy_test.cc's."""
    box = Box(host)
    script = """mkdir -p /dir/a/b /dir/c; cd /dir/a; echo x > f; echo y > g
say() { echo "$*" "$("$@" 2>&1 >/dev/null | sed 's/.*: //')"; }
say mv f h; say mv -f h g; say ln g l; say mv g b/g; say mv b d; say mkfifo p; say ln -s x y
say rmdir d; say touch /dir/c/n
"""
    flags = [*ALL, *rules("sandbox/lock:on", "allow/lock/read,write,exec,readdir+/",
                          "allow/lock/create,delete,mkdir,rmdir,truncate+/dir/a", "allow/lock/mkdir+/dir")]
    (box.path / "s").write_text(script)
    output, errors = box.run("sh", "/box/s", flags=flags)
    want = {"mv f h": "", "mv -f h g": "", "ln g l": "", "mv g b/g": "", "mv b d": "",
            "mkfifo p": "Permission denied", "ln -s x y": "Permission denied", "rmdir d": "Directory not empty",
            "touch /dir/c/n": "Permission denied"}
    got = dict(re.match(r"(.*?) ?((?:Permission|Directory|Invalid|No such|Operation)\b.*)?$", line).groups("")
               for line in output.splitlines())
    assert {k: got.get(k) for k in want} == want, (got, errors)
    move = ("import os\nfor a, b in (('/dir/a/f', '/dir/a/b/f'), ('/dir/a/f', '/dir/a/g')):\n"
            "  try: os.rename(a, b); print('moved')\n  except OSError as e: print(e.errno)\n")
    output, errors = box.run("sh", "-c", "mkdir -p /dir/a/b; echo > /dir/a/f; exec python3 -c \"$0\"", move,
                             flags=flags)
    assert output == "18\nmoved\n", (output, errors)
    terminal = "script -qec 'stty -a >/dev/null && echo size' /dev/null; true"
    for extra, want in ([], False), (["allow/lock/ioctl+/dev"], True):
        output, errors = box.run("sh", "-c", terminal, flags=[*flags, *rules(
            "allow/lock/all-x+/tmp", *extra)])
        assert ("size" in output) == want, (extra, output, errors)


@case
def limits(host):
    box = Box(host)
    program = ("import os, time\nn = 0\n"
               "try:\n  while n < 20:\n    if os.fork() == 0: time.sleep(9)\n    n += 1\n"
               "except BlockingIOError: print(n, flush=True)\n")
    for most, action, want, code in ((4, "deny", "3\n", 0), (4, "kill", "", 137)):
        got, _ = box.run("python3", "-c", program, code=code,
                         flags=[*ALL, *rules(f"pid/max:{most}", f"default/pid:{action}")])
        assert got == want, (action, got)
    program = ("import mmap\ntry: mmap.mmap(-1, 1 << 30); print('mapped')\n"
               "except OSError as e: print(e.errno)\n")
    for size, want in (("512M", "12\n"), ("4G", "mapped\n")):
        got, _ = box.run("python3", "-c", program, flags=[*ALL, *rules(f"mem/vm_max:{size}")])
        assert got == want, (size, got)
    # What is in memory, rather than what is mapped.
    program = ("import mmap\nm = [mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)]\n"
               "try:\n  for i in range(40): m[0][i << 22:(i + 1) << 22] = bytes(1 << 22); mmap.mmap(-1, 4096)\n"
               "  print('written')\nexcept (OSError, MemoryError) as e: print('refused')\n")
    for size, want in (("64M", "refused\n"), ("1G", "written\n")):
        got, errors = box.run("python3", "-c", program, flags=[*ALL, *rules(f"mem/max:{size}")])
        assert got == want, (size, got, errors)


@case
def programs_that_crash_are_not_started_again(host):
    """SegvGuard."""
    box = Box(host)
    shutil.copy(os.path.realpath("/bin/sh"), box.path / "crashes")
    script = ("for i in 1 2 3 4; do /box/crashes -c 'kill -SEGV $$'; echo $?; done 2>/dev/null; "
              "/bin/true; echo $?; sleep 1.5; /box/crashes -c 'exit 5'; echo $?")
    for texts, want in (
            (["segvguard/maxcrashes:2"], "139 139 126 126 0 126"),
            (["segvguard/maxcrashes:3", "segvguard/suspension:1"], "139 139 139 126 0 5"),
            (["segvguard/maxcrashes:2", "segvguard/expiry:0"], "139 139 139 139 0 5"),
            (["segvguard/maxcrashes:2", "default/segvguard:warn"], "139 139 139 139 0 5"),
            ([], "139 139 139 139 0 5")):
        got, errors = box.run("sh", "-c", script, flags=[*ALL, "--explain", *rules(*texts)])
        assert got.split() == want.split(), (texts, got, errors)
        assert ("segvguard" in errors) == ("126" in want or "default/segvguard:warn" in texts), errors
    # What rules kill with counts, a signal that is no crash does not.
    got, _ = box.run("sh", "-c", script.replace("SEGV", "KILL"),
                     flags=[*ALL, *rules("segvguard/maxcrashes:2")])
    assert got.split() == "137 137 126 126 0 126".split(), got
    got, _ = box.run("sh", "-c", script.replace("SEGV", "TERM"),
                     flags=[*ALL, *rules("segvguard/maxcrashes:1")])
    assert got.split() == "143 143 143 143 0 5".split(), got


@case
def changes_of_ids_follow_rules(host):
    """SafeSetID."""
    box = Box(host)
    program = """
import os
def attempt(*steps):
    pid = os.fork()
    if pid: return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        for step, *ids in steps: getattr(os, step)(*ids)
    except PermissionError: os._exit(1)
    os._exit(0)
print(attempt(("setuid", 1000)), attempt(("setuid", 1001)), attempt(("setresuid", 1000, 1000, 1001)),
      attempt(("seteuid", 1000), ("seteuid", 0)), attempt(("setreuid", 0, 0)),
      attempt(("setgid", 1000)), attempt(("setgid", 1002)), attempt(("setgroups", [1002])),
      attempt(("setgroups", [1000])), attempt(("setuid", 1000), ("setuid", 1001)))
"""
    for texts, want in ((["setuid+0:1000", "setgid+0:1002"], "0 1 1 0 0 1 0 0 1 1"),
                        (["setuid+0:1000", "setuid-0:1000"], "1 1 1 1 0 0 0 0 0 1"),
                        (["trace/allow_safe_setgid:1"], "0 0 0 0 0 1 1 1 1 1"),
                        ([], "0 0 0 0 0 0 0 0 0 1")):
        got, errors = box.run("python3", "-c", program, flags=[*ALL, *rules(*texts)])
        assert got.split() == want.split(), (texts, got, errors)
    host.refused("run", *rules("setuid+0:0"), "--", "true", saying="system's own")
    host.refused("run", *rules("setgid+0"), "--", "true", saying="FROM:TO")
    host.refused("run", *rules("setuid+0:1000", "setuid+0:1001"), "--", "true", saying="already")
    host.refused("run", *rules("sandbox/proxy:on"), "--", "true", saying="reserved")


@case
def signal_frames_are_the_kernels(host):
    box = Box(host)
    got, errors = box.run("/tools/probe", "signals", flags=[*ALL, "--explain"])
    assert (got, errors) == ("123\n", ""), (got, errors)
    _, errors = box.run("/tools/probe", "forged", flags=[*ALL, "--explain"], code=137)
    assert "trace/allow_unsafe_sigreturn" in errors, errors
    for flags in ([*ALL, *rules("trace/allow_unsafe_sigreturn:1")], []):
        assert box.run("/tools/probe", "forged", flags=flags)[0] == "returned\n"


@case
def descriptors_may_be_scattered(host):
    program = ("import os\nfds = [os.open('/', os.O_RDONLY) for _ in range(8)]\n"
               "print(len(set(fds)), max(fds) > 20, max(fds) < 1024)\n"
               "try:\n  while True: os.open('/', os.O_RDONLY)\n"
               "except OSError as e: print(e.errno)\n[os.close(fd) for fd in fds]\n"
               "print(len(os.listdir('/proc/self/fd')))\n")
    got, _ = host.usk("run", *ALL, *rules("trace/force_rand_fd:1"), "--", "prlimit", "--nofile=1024",
                      "python3", "-c", program)
    assert got == "8 True True\n24\n1017\n", got


@case
def a_restored_sandbox_has_its_policy(host):
    """What was changed from inside, too; and its log goes on only where somebody says so."""
    box = Box(host)
    for name in ("secret", "later", "open"):
        (box.path / name).write_text(name + "\n")
    script = ("test -c '/dev/syd/deny/read+/box/later'; while sleep 0.05; do "
              "cat /box/secret /box/later /box/open 2>/dev/null; "
              "sh -c \"test -c '/dev/syd/allow/read+/box/secret'\" && echo unlocked; done")
    log, image = f"{host.runtime}/log", f"{host.runtime}/image"
    flags = ["run", "--name", "box", "--rw", f"{box.path}:/box", *ALL,
             *rules("deny/read+/box/secret", "lock:exec"), "--audit", log, "--", "sh", "-c", script]
    process = host.start(*flags)
    assert [process.stdout.readline() for _ in range(3)] == ["open\n"] * 3
    host.usk("checkpoint", "box", "-o", image)
    process.wait(20)
    host.usk("audit", "verify", log)
    host.refused("restore", image, saying="--audit")
    copy = host.start("restore", "--audit", f"{log}2", "--name", "copy", image)
    assert [copy.stdout.readline() for _ in range(4)] == ["open\n"] * 4
    why = [json.loads(line) for line in host.usk("why", "copy", "--json")[0].splitlines()]
    assert {d["object"] for d in why} >= {"/box/secret", "/box/later"}, why
    host.usk("kill", "copy")
    copy.wait(20)
    host.usk("audit", "verify", f"{log}2")


@case
def profiles_let_programs_work(host):
    """The profiles as people use them."""
    project = pathlib.Path(host.runtime, "project")
    project.mkdir()
    (project / "a.c").write_text("#include <stdio.h>\nint main(void) { puts(\"built\"); return 0; }\n")
    for profile in ("build", "agent"):
        done = subprocess.run([host.usk_path, "run", "--explain", "--rw", str(project), "--policy",
                               profile, "--", "sh", "-c", "gcc -o a a.c && ./a && python3 -c 'print(1)'"],
                              env=host.environment, cwd=project, text=True, capture_output=True,
                              timeout=60)
        assert done.stdout == "built\n1\n", (profile, done.stdout, done.stderr)
        done = subprocess.run([host.usk_path, "run", "--policy", profile, "--policy-rule",
                               "deny/read+/etc/passwd", "--", "cat", "/etc/passwd"],
                              env=host.environment, cwd=project, text=True, capture_output=True,
                              timeout=60)
        assert done.returncode == 1 and done.stdout == "", done


LEARNED = {
    "git": "git clone -q repository copy && cat copy/file",
    "python": "tar xf package.tar && python3 -c 'import package; print(package.text)'",
    "c": "gcc -c a.c -o a.o && gcc -o a a.o && ./a",
    "web": "python3 -c \"$SERVER\" unix & python3 -c \"$CLIENT\" unix",
    "web_inet": "python3 -c \"$SERVER\" inet & python3 -c \"$CLIENT\" inet",
    "scripts": "for i in 1 2 3; do mktemp; done | wc -l; sort big | head -1; find . | wc -l > n; ls",
}


# A web server as people start one, asked once.
SERVER = """
import http.server, socketserver, sys
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = 'x', 0
class Handler(http.server.SimpleHTTPRequestHandler):
    def address_string(self): return 'client'
    def log_message(self, *_): pass
if sys.argv[1] == 'unix': Server.address_family = 1
Server('web.socket' if sys.argv[1] == 'unix' else ('127.0.0.1', 8642), Handler).handle_request()
"""
CLIENT = """
import socket, sys, time
for i in range(200):
    try:
        s = socket.socket(1 if sys.argv[1] == 'unix' else 2)
        s.connect('web.socket' if sys.argv[1] == 'unix' else ('127.0.0.1', 8642))
        break
    except (ConnectionRefusedError, FileNotFoundError): time.sleep(0.05)
s.sendall(b'GET /a.c HTTP/1.0\\r\\n\\r\\n')
print(b''.join(iter(lambda: s.recv(4096), b'')).split(b'\\r\\n\\r\\n')[1].decode())
"""


def learned_case(name, script):
    def run(host):
        if name == "web_inet" and host.run("run", "--", "python3", "-c",
                                           "import socket; socket.socket(2)").returncode:
            return  # Usk has no such sockets here.
        environment = dict(host.environment, SERVER=SERVER, CLIENT=CLIENT)
        project = pathlib.Path(host.runtime, "project")
        (project / "package").mkdir(parents=True)
        (project / "package" / "__init__.py").write_text("import json\ntext = json.dumps('imported')\n")
        (project / "a.c").write_text("#include <stdio.h>\nint main(void) { puts(\"built\"); return 0; }\n")
        (project / "big").write_text("".join(f"{i}\n" for i in range(20000)))
        git = ["git", "-c", "user.name=a", "-c", "user.email=a", "-C", str(project / "repository")]
        for command in (["tar", "cf", "package.tar", "package"], ["rm", "-r", "package"],
                        ["git", "init", "-q", "repository"]):
            subprocess.run(command, cwd=project, check=True)
        (project / "repository" / "file").write_text("cloned\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)
        rule_file = pathlib.Path(host.runtime, "learned")
        results = []
        for command in (["learn", "-o", str(rule_file)],
                        ["run", "--policy", str(rule_file), "--explain"]):
            copy = pathlib.Path(host.runtime, "copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(project, copy)
            done = subprocess.run([host.usk_path, *command, "--rw", str(copy), "-e", "SERVER", "-e",
                                   "CLIENT", "--", "sh", "-c", script], env=environment, cwd=copy,
                                  text=True, capture_output=True, timeout=90)
            assert done.returncode == 0 and "usk: " not in done.stderr, (done.stdout, done.stderr)
            results.append(done.stdout)
            os.chmod(rule_file, 0o644)
        assert results[0] == results[1] and results[0], results
        text = rule_file.read_text()
        assert "${SYD_PWD}" in text and len(text.splitlines()) < 80, text
    run.__name__ = "learned_" + name
    case(run)


for each, how in LEARNED.items():
    learned_case(each, how)


@case
def logs_are_replayed_under_other_rules(host):
    log = pathlib.Path(host.runtime, "log")
    rule_file = pathlib.Path(host.runtime, "rules")
    rule_file.write_text("allow/all+/***\nallow/all+!**\ndeny/read+/etc/hostname\n")
    os.chmod(rule_file, 0o644)
    host.usk("run", "--policy-rule", "trace/allow_unsafe_exec_nopie:1", "--policy-warn", "--audit",
             str(log), "--", "sh", "-c", "cat /etc/hostname /etc/passwd; true")
    output, _ = host.usk("policy", "test", str(rule_file), "--trace", str(log))
    lines = output.splitlines()
    assert lines[0].startswith('denied: read "/etc/hostname": ') and lines[0].endswith(
        f"{rule_file}:3 deny/read+/etc/hostname"), output
    assert len(lines) == 2 and " 1 changed, 0 cannot be told" in lines[1], output
    # Addresses and netlink, too.
    calls = ("import socket\nfor a in ('127.0.0.1', '127.0.0.2'):\n"
             "  socket.socket(2, 2).sendto(b'x', (a, 9))\nsocket.socket(16, 3, 0)\n")
    rule_file.write_text("include_profile container\ndeny/net/connect+127.0.0.2!9\n")
    os.unlink(log)
    host.usk("run", "--policy", "off", "--policy-rule", "sandbox/net:on", "--policy-warn", "--audit", str(log),
             "--", "python3", "-c", calls)
    output, _ = host.usk("policy", "test", str(rule_file), "--trace", str(log))
    assert output.startswith('denied: net/connect "udp!127.0.0.2!9": ') and "0 cannot be told" in output, output


@case
def commands_without_a_sandbox(host):
    good = pathlib.Path(host.runtime, "good")
    bad = pathlib.Path(host.runtime, "bad")
    good.write_text("include_profile linux\nallow/read+${HOME}/x\nunshare/net:1\n")
    bad.write_text("allow/read+/x\nallow/frob+/y\n")
    for file in (good, bad):
        os.chmod(file, 0o644)
    output, _ = host.usk("policy", "check", str(good), "agent")
    assert f"{good}:3: 'unshare/net:1' has no effect" in output and "agent: " in output, output
    output, _ = host.usk("policy", "check", str(bad), code=1)
    assert output == f"{bad}:2: 'frob' is no category\n", output
    os.chmod(good, 0o666)
    assert "others may write" in host.usk("policy", "check", str(good), code=1)[0]
    assert "agent" in host.usk("policy", "show")[0]
    assert "allow/" in host.usk("policy", "show", "agent")[0]
    host.refused("policy", "show", "no-such", saying="no-such")
    # Profiles by their letters, as in syd -pMPX; those that say the same under another name.
    assert "MPX: " in host.usk("policy", "check", "MPX")[0]
    host.refused("run", "--policy", "MPZ", "--", "true", saying="MPZ")
    for profile in ("lib", "rand", "noscm", "fs", "landlock", "pwd", "l", "r", "f"):
        assert f"{profile}: " in host.usk("policy", "check", profile)[0]
    variables = pathlib.Path(host.runtime, "variables")
    variables.write_text("allow/read+/${SYD_ID}/${SYD_GID}/${SYD_EGID}/${SYD_EUID}/${SYD_PIPE_MAX}\n")
    os.chmod(variables, 0o644)
    assert "variables: " in host.usk("policy", "check", str(variables))[0]
    host.refused("run", "--policy", "no-such", "--", "true", saying="no-such")
    host.refused("run", "--policy-rule", "frob", "--", "true", saying="--policy-rule: 'frob'")
    host.refused("run", "--explain", "--", "true", saying="--policy")
