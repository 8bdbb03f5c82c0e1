"""What the kernel process gives up (docs/SECURITY.md): the list of its host calls against those it
makes, the table in the documentation against the filters, and hosts that give less than this one."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import abuse_tests
import hosts
import recorded
from paths import HERE

ROOT = HERE.parent
LANDLOCK_CALLS = "444,445,446"
CASES = {}
# Tests that between them make every call of calls.def that is not RARE there.
RECORDED_TESTS = ["control", "interactive.job_control.inside", "root.archive_is_a_root",
                  "abuse.touched_memory_is_limited", "abuse.files_in_memory_are_limited", "tmux.resize_run",
                  "ptrace_attach.trap", "ptrace.ptrace", "mmap.trap", 
                  "confinement.shared_directory"]


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("confinement", CASES, build, options)


@case
def table_is_in_the_documentation(host):
    table = host.usk("debug", "attack-surface")[0]
    text = (ROOT / "docs/SECURITY.md").read_text()
    assert table in text, "docs/SECURITY.md: put there what usk debug attack-surface prints"


@case
def doctor_tells(host):
    findings = {f["name"]: f for f in json.loads(host.usk("doctor", "--json")[0])}
    assert all(f["holds"] for f in findings.values() if f["promised"]), findings
    assert "keeps its promises" in host.usk("doctor")[0]
    denied = subprocess.run([sys.executable, HERE / "deny.py", LANDLOCK_CALLS, host.usk_path, "doctor"],
                            capture_output=True, text=True, timeout=20)
    assert denied.returncode == 1 and re.search(r"^NO +landlock ", denied.stdout, re.M), denied
    # What is missing, and how to get it: ptrace, seccomp, mseal.
    for call, names in (("101", {"ptrace"}), ("317", {"trap", "ptrace", "seccomp"}), ("462", {"mseal"})):
        denied = subprocess.run([sys.executable, HERE / "deny.py", call, host.usk_path, "doctor", "--json"],
                                capture_output=True, text=True, timeout=20)
        missing = {f["name"]: f["remedy"] for f in json.loads(denied.stdout) if not f["holds"]}
        assert set(missing) == names, (call, missing)
        assert all(re.search(r"takes |Linux \d", remedy) for remedy in missing.values()), missing


@case
def refuses_without_landlock(host):
    command = [sys.executable, str(HERE / "deny.py"), LANDLOCK_CALLS, host.usk_path, "run"]
    refused = subprocess.run([*command, "--", "true"], env=host.environment, capture_output=True,
                             text=True, timeout=20)
    assert refused.returncode == 125 and refused.stderr.count("\n") == 1, refused
    assert "--unsafe-without=landlock" in refused.stderr, refused
    allowed = subprocess.run([*command, "--unsafe-without=landlock", "--", "echo", "in"],
                             env=host.environment, capture_output=True, text=True, timeout=20)
    assert (allowed.returncode, allowed.stdout) == (0, "in\n"), allowed
    host.refused("run", "--unsafe-without=nothing", "--", "true", saying="--unsafe-without")


DENY = [sys.executable, str(HERE / "deny.py")]
ORDINARY = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
BOTH = "namespaces,user-namespace"
ROOT_USER, NOBODY = "0", "65534"
# What a container's usual profile refuses: unshare, setns, mount, umount2, pivot_root, fsopen, and clone
# with flags of namespaces.
CONTAINER_PROFILE = "272,308,165,166,155,430,56&0x7e020000"
# The situations that a host may be: prefixes of a command, what has to be done without there, and whose
# the files of the host's root seem to be: nobody's to those who are not root.
SITUATIONS = {
    "ordinary_user": (ORDINARY, "", NOBODY),
    # Whom the host shows in place of unknown users.
    "nobody": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "", NOBODY),
    "root_without_capabilities": (["setpriv", "--bounding-set=-all", "--inh-caps=-all"], BOTH, ROOT_USER),
    # A user namespace can be made, and gives no rights: as AppArmor has it.
    "ordinary_user_restricted": ([*ORDINARY, *DENY, "272,308"], "namespaces", NOBODY),
    "no_user_namespaces": ([sys.executable, str(HERE / "no_user_namespaces.py")], "namespaces", NOBODY),
    "user_namespace": (["unshare", "--user", "--map-root-user", "--mount"], "", ROOT_USER),
    "container_of_a_user": ([*ORDINARY, "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
                             "--mount-proc", "--net", "--ipc", "--uts", "--cgroup"], "", NOBODY),
    "container": (["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--net", "--ipc", "--uts",
                   "--cgroup", "setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-sys_module",
                   *DENY, CONTAINER_PROFILE], BOTH, ROOT_USER),
    # unshare, setns, clone3 and mount are refused, and clone for namespaces.
    "no_namespaces": ([*DENY, "165,272,308,435,56&0x7e020000"], BOTH, ROOT_USER),
}
SEES = "ls /etc/passwd && ls /home && echo written > /etc/x && cat /etc/x && stat -c %u /etc/passwd /etc/x"


def add_situation(name, prefix, missing, owner):
    """What is there is kept; what is not is named, and has to be done without by name."""
    def test(host):
        if not shutil.which(prefix[0]) or os.geteuid() != 0:
            return None
        # A place of its own for running sandboxes, and no working directory that it may not see.
        environment = {k: v for k, v in host.environment.items() if k != "XDG_RUNTIME_DIR"}

        def run(*words):
            return subprocess.run([*prefix, host.usk_path, *words], env=environment, cwd="/", timeout=30,
                                  capture_output=True, text=True, check=False)
        without = [f"--unsafe-without={missing}"] if missing else []
        for platform in ("trap", "ptrace"):
            done = run("run", f"--platform={platform}", *without, "--cwd", "/", "--", "sh", "-c", SEES)
            assert (done.returncode, done.stdout) == (0, f"/etc/passwd\nwritten\n{owner}\n0\n"), done
        if missing:
            done = run("run", "--cwd", "/", "--", "true")
            assert done.returncode == 125 and done.stderr.count("\n") == 1, done
            assert f"--unsafe-without={missing} " in done.stderr, done
        found = json.loads(run("doctor", "--json").stdout)
        lost = [f["name"] for f in found if f["promised"] and not f["holds"]]
        assert ",".join(lost) == missing, lost
        return None
    test.__name__ = name
    CASES[name] = test


for situation, (words, lost_layers, owner_seen) in SITUATIONS.items():
    add_situation(situation, words, lost_layers, owner_seen)


@case
def inside_itself(host):
    """A sandbox in a sandbox in a sandbox. Ours has no Landlock to offer, and says so."""
    usk, build = host.usk_path, os.path.dirname(os.path.realpath(host.usk_path))
    program = ("import os\nr, w = os.pipe()\npid = os.fork()\n"
               "if pid == 0: os.write(w, b'x'); os._exit(3)\n"
               "print(os.read(r, 1), os.waitpid(pid, 0)[1], open('/proc/version').read()[:5])")
    inner = [usk, "run", "--unsafe-without=landlock"]
    for platform in ("trap", "ptrace"):
        outer = ["run", f"--platform={platform}", "--ro", build, "--"]
        assert host.usk(*outer, *inner, "--", "python3", "-c", program)[0] == "b'x' 768 Linux\n"
        host.usk(*outer, *inner, "--", "sh", "-c", "exit 7", code=7)
        output, errors = host.usk(*outer, usk, "run", "--", "true", code=125)
        assert "--unsafe-without=landlock" in errors and not output, errors
    third = host.usk(*outer, *inner, "--ro", build, "--", *inner, "--", "echo", "third")
    assert third[0] == "third\n", third


NAMESPACES = {"namespaces": ("net", "ipc", "uts", "cgroup", "mnt"), "user-namespace": ("user",)}


def own_namespaces(pid):
    """Those that are not ours."""
    return {name for names in NAMESPACES.values() for name in names
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")}


def first_child(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]


def confined(pid):
    return re.search(r"^Seccomp:\t2$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)


@case
def namespaces_and_an_empty_root(host):
    """Root's kernel process and its stubs: paths lead nowhere, and nothing is mounted."""
    if os.geteuid() != 0:
        return
    layers = [(), ("namespaces",), ("user-namespace",), ("namespaces", "user-namespace")]
    for number, without in enumerate(layers):
        process = host.sandbox("sleep", "100", name=f"box{number}",
                               flags=[f"--unsafe-without={layer}" for layer in without])
        host.until(lambda: confined(process.pid))
        empty = "namespaces" not in without
        for pid in (process.pid, first_child(process.pid)):
            wanted = {name for layer, names in NAMESPACES.items() if layer not in without for name in names}
            assert own_namespaces(pid) == wanted, (without, own_namespaces(pid))
            assert (os.listdir(f"/proc/{pid}/root/") == []) == empty
            mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            assert (len(mounts) == 1) == empty, mounts
        assert (os.listdir(f"/proc/{process.pid}/cwd/") == []) == empty
        for name in ("uid_map", "gid_map"):
            # Whose a file is does not change.
            assert pathlib.Path(f"/proc/{process.pid}/{name}").read_text().split()[:2] == ["0", "0"]
        process.kill()
    assert host.usk("run", "--", "stat", "-c", "%u", "/etc/passwd")[0] == "0\n"


@case
def namespaces_of_an_ordinary_user(host):
    """All of them, with his own id alone; and no capability is left of those that they gave him."""
    if os.geteuid() != 0:
        return
    environment = {k: v for k, v in host.environment.items() if k != "XDG_RUNTIME_DIR"}
    for uid, inside in ((1000, 1000), (65534, 65533)):
        process = subprocess.Popen(
            ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", host.usk_path, "run",
             "--cwd", "/", "--", "sh", "-c", "echo runs; sleep 100"], env=environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        host.started.append(process)
        assert process.stdout.readline() == "runs\n"
        stub = first_child(process.pid)
        for pid in (process.pid, stub):
            assert own_namespaces(pid) == {"net", "ipc", "uts", "cgroup", "mnt", "user"}, own_namespaces(pid)
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^CapPrm:\t0+$", status, re.M)
            # Root's file once others cannot look into it: PR_SET_DUMPABLE.
            owner = os.stat(f"/proc/{pid}/environ").st_uid
            assert owner == (0 if pid == process.pid else uid), owner
            assert os.listdir(f"/proc/{pid}/root/") == []
            assert len(pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) == 1
            words = pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()
            assert words == [str(inside), str(uid), "1"], words
            devices = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
            assert [line.split(":")[0].strip() for line in devices] == ["lo"], devices
        process.kill()
        host.until(lambda: not runs(stub))


@case
def a_host_without_one_of_the_namespaces(host):
    """What it cannot be without is named; a root that cannot be changed by pivot_root is by chroot."""
    if os.geteuid() != 0:
        return
    others = {"net", "ipc", "uts", "cgroup", "mnt"}
    # pivot_root is refused; clone for a user namespace.
    for call, flags, wanted in (("155", [], others | {"user"}),
                                ("56&0x10000000", ["--unsafe-without=user-namespace"], others)):
        command = [*DENY, call, host.usk_path, "run"]
        if flags:
            done = subprocess.run([*command, "--", "true"], env=host.environment, capture_output=True, text=True,
                                  timeout=20, check=False)
            assert done.returncode == 125 and f"{flags[0]} " in done.stderr, done
        process = subprocess.Popen(
            [*command, *flags, "--", "sh", "-c", "echo runs; sleep 100"], env=host.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        host.started.append(process)
        assert process.stdout.readline() == "runs\n"
        assert own_namespaces(process.pid) == wanted, (call, own_namespaces(process.pid))
        assert os.listdir(f"/proc/{process.pid}/root/") == []
        process.kill()


@case
def mounts_below_shared_directories(host):
    """What the host has mounted below a directory, before or after the start, is seen."""
    if os.geteuid() != 0:
        return
    place = pathlib.Path(host.runtime, "shared")
    for name in ("before", "after"):
        (place / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", place / "before"], check=True)
    try:
        (place / "before" / "f").write_text("before")
        process = host.start("run", "--rw", f"{place}:/shared", "--", "sh", "-c",
                             "cat /shared/before/f; echo; for i in $(seq 100); do "
                             "cat /shared/after/f 2>/dev/null && break; sleep 0.05; done; echo; sleep 100")
        assert process.stdout.readline() == "before\n"
        subprocess.run(["mount", "-t", "tmpfs", "none", place / "after"], check=True)
        (place / "after" / "f").write_text("after")
        assert process.stdout.readline() == "after\n"
    finally:
        for name in ("before", "after"):
            subprocess.run(["umount", "-l", place / name], capture_output=True)


@case
def output_files_are_opened_before_all_is_out_of_reach(host):
    place = pathlib.Path(host.runtime, "out")
    place.mkdir()
    host.usk("run", f"--trace={place}/trace", f"--stats=json:{place}/stats", "--policy-rule",
             "sandbox/all:off", "--audit", f"{place}/audit", "--", "true", cwd=place)
    host.usk("run", "--trace=relative", "--", "true", cwd=place)
    assert "exit_group" in (place / "trace").read_text() and (place / "relative").read_text()
    assert json.loads((place / "stats").read_text()) and (place / "audit").read_text()


@case
def kernel_process_has_given_up(host):
    """As others see it: capabilities, filter, no_new_privs."""
    process = host.sandbox("sleep", "100")

    def status():
        return pathlib.Path(f"/proc/{process.pid}/status").read_text()
    # It is listed before its filter is there.
    host.until(lambda: re.search(r"^Seccomp:\t2$", status(), re.M))
    assert re.search(r"^NoNewPrivs:\t1$", status(), re.M)
    effective = int(re.search(r"^CapEff:\t(\w+)$", status(), re.M)[1], 16)
    # Root may read (CAP_DAC_READ_SEARCH); others have none.
    assert effective & ~(1 << 2) == 0, hex(effective)


@case
def nothing_is_kept_of_who_started_it(host):
    """Environment and descriptors: neither in its lists, nor in any memory that can be written."""
    token, passed = "usk-" + os.urandom(12).hex(), os.open("/etc/hostname", os.O_RDONLY)
    process = subprocess.Popen([host.usk_path, "run", "--name", "box", "--", "sh", "-c", "env; echo end; sleep 100"],
                               env=dict(host.environment, TOKEN_OF_A_TEST=token), pass_fds=[passed],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    host.started.append(process)
    for line in process.stdout:
        assert token not in line, line
        if line == "end\n":
            break
    for pid in (process.pid, *abuse_tests.descendants(process.pid)):
        try:
            held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:
            continue  # It has ended, or closed one meanwhile: a stub that was made ahead.
        assert "/etc/hostname" not in held, held
        assert token.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                start, end = (int(n, 16) for n in line.split()[0].split("-"))
                if " rw" not in line or end - start > 64 << 20:
                    continue
                memory.seek(start)
                try:
                    assert token.encode() not in memory.read(end - start), (pid, line)
                except OSError:
                    continue  # Nothing is there.
    os.close(passed)


RW_PROGRAM = r"""
import os, ctypes
os.chdir('/shared')
fd = os.open('made', os.O_CREAT | os.O_RDWR, 0o600)
os.write(fd, b'0123456789'); os.fsync(fd); os.fdatasync(fd)
os.ftruncate(fd, 5); os.posix_fallocate(fd, 0, 8192)
os.fchmod(fd, 0o640); os.fchown(fd, 0, 0); os.fstatvfs(fd)
os.setxattr(fd, 'user.a', b'1'); os.getxattr(fd, 'user.a'); os.listxattr(fd); os.removexattr(fd, 'user.a')
os.chmod('made', 0o644); os.lchown('made', 0, 0) if hasattr(os, 'lchown') else None
os.utime('made', (1, 2)); os.utime(fd, (1, 2))
os.mkdir('directory'); os.rmdir('directory'); os.mkfifo('fifo')
os.symlink('made', 'symbolic'); os.readlink('symbolic'); os.chown('symbolic', 0, 0, follow_symlinks=False)
os.link('made', 'hard'); os.rename('hard', 'renamed'); os.unlink('symbolic')
os.utime('renamed', (3, 4), follow_symlinks=False)
unnamed = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(unnamed, b'x')
append = os.open('made', os.O_WRONLY | os.O_APPEND); os.write(append, b'end')
print(sorted(os.listdir('.')), os.stat('made').st_size, os.statvfs('.').f_bsize > 0)
"""


@case
def shared_directory(host):
    """--rw: all that can be done to files is done to the host's."""
    place = os.path.join(host.runtime, "shared")
    os.mkdir(place)
    output, _ = host.usk("run", "--rw", f"{place}:/shared", "--", "python3", "-c", RW_PROGRAM)
    assert output == "['fifo', 'made', 'renamed'] 8195 True\n", output
    assert sorted(os.listdir(place)) == ["fifo", "made", "renamed"]
    assert os.stat(f"{place}/made").st_mode & 0o777 == 0o644


def rules():
    """(name, whether it is rare) of each line of calls.def."""
    text = (ROOT / "src/host/calls.def").read_text()
    return [(m[2], m[1] == "RARE") for m in re.finditer(r"^(CALL|RARE)\((\w+)", text, re.M)]


@case
def host_calls_are_those_listed(host):
    if "recorded" in host.usk_path:
        return None  # This is such a run already.
    build = pathlib.Path(host.usk_path).parent
    folder, record = pathlib.Path(host.runtime) / "recorded", pathlib.Path(host.runtime) / "record"
    recorded.make_folder(build, folder, record)
    subprocess.run([sys.executable, HERE / "run.py", "--build", folder, *RECORDED_TESTS],
                   capture_output=True, timeout=400)
    used, missing = recorded.read_record(record)
    assert not missing, f"calls that calls.def does not list: {sorted(missing)[:5]}"
    unused = [f"{name} (line {i})" for i, (name, rare) in enumerate(rules()) if i not in used and not rare]
    assert not unused, f"calls.def lists what is not made: {', '.join(unused)}"


def change_code(pid, binary, symbol, code):
    """The first bytes of this function become others."""
    listing = subprocess.run(["nm", "-C", binary], capture_output=True, text=True, check=True).stdout
    offsets = [int(line.split()[0], 16) for line in listing.splitlines()
               if re.search(rf" [tT] {re.escape(symbol)}\(", line)]
    assert len(offsets) == 1, (symbol, offsets)
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(str(binary)))
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(base + offsets[0])
        memory.write(code)


COMPUTES_FOR_EVER, IS_NO_CODE = b"\xeb\xfe", b"\x0f\x0b"


def stuck_sandbox(host, watchdog):
    """One whose kernel process never comes back from getpriority(2)."""
    process = host.sandbox("sleep", "100", flags=["--watchdog", watchdog])
    change_code(process.pid, os.path.realpath(host.usk_path), "usk::sys::getpriority", COMPUTES_FOR_EVER)
    host.start("exec", "box", "nice")
    return process


STUCK = r"usk: (internal error: )?stuck with task (\d+), call 140\b"


def runs(pid):
    try:
        return not re.search(r"^State:\t[ZX]", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    except (FileNotFoundError, ProcessLookupError):
        return False


@case
def a_crash_is_a_line_and_a_report(host):
    """A bug of the kernel process: no stub is left, one line says where the report is."""
    for sent in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
        process = host.sandbox("sh", "-c", "sleep 100 & sleep 100", name=f"box{int(sent)}")
        host.until(lambda: confined(process.pid))
        stubs = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        begin = time.monotonic()
        process.send_signal(sent)
        errors = process.communicate(timeout=20)[1]
        # Whoever adopts what is left of them may take long to wait for it.
        host.until(lambda: not any(runs(stub) for stub in stubs))
        assert time.monotonic() - begin < 0.3, "that took long"
        found = re.fullmatch(r"usk: internal error: \w+ at address 0x\w+ in usk\+0x\w+; "
                             r"the report is in (\S+)\n", errors)
        assert process.returncode == 125 and found, (process.returncode, errors)
        report = pathlib.Path(found[1]).read_text()
        assert "stack:\n" in report and "rip " in report, report


@case
def a_bug_that_a_call_meets_is_reported_with_it(host):
    """The report says what was being served, and where; nothing of the sandbox is left."""
    if os.geteuid() != 0:
        return
    process = host.sandbox("sleep", "100")
    host.until(lambda: confined(process.pid))
    change_code(process.pid, os.path.realpath(host.usk_path), "usk::sys::getpriority", IS_NO_CODE)
    stubs = abuse_tests.descendants(process.pid)
    client = host.start("exec", "box", "nice")
    errors = process.communicate(timeout=20)[1]
    found = re.fullmatch(r"usk: internal error: \w+ at address 0x\w+ in usk\+0x\w+; the report is in (\S+)\n", errors)
    assert process.returncode == 125 and found, (process.returncode, errors)
    report = pathlib.Path(found[1]).read_text()
    assert "serving task" in report and "call 140" in report and "stack:\n" in report, report
    host.until(lambda: not any(runs(stub) for stub in stubs))
    assert client.wait(20) != 0
    host.until(lambda: host.list() == [])


@case
def watchdog_names_what_is_stuck(host):
    if os.geteuid() != 0:
        return
    process = stuck_sandbox(host, "log")
    line = process.stderr.readline()
    assert re.match(STUCK, line), line
    stack = [process.stderr.readline() for _ in range(4)]
    assert all(re.match(r"  0x\w+  usk\+0x\w+$", frame) for frame in stack), stack
    assert process.poll() is None
    process.kill()
    assert "stuck" not in process.stderr.read(), "it is said once"


@case
def watchdog_kills_what_is_stuck(host):
    if os.geteuid() != 0:
        return
    process = stuck_sandbox(host, "kill")
    directory = pathlib.Path(host.runtime, "usk", host.entries()[0])
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 125 and re.match(STUCK, errors), (process.returncode, errors)
    report = (directory / "crash.txt").read_text()
    assert "serving task" in report and "call 140" in report and "stack:\n" in report, report


@case
def watchdog_is_quiet(host):
    """A sandbox that has much to do, and one that has nothing, are not stuck."""
    busy = ("import os, time\nend = time.monotonic() + 4\n"
            "while time.monotonic() < end: os.getppid(); os.urandom(100000)")
    errors = host.usk("run", "--watchdog=kill", "--", "python3", "-c", busy)[1]
    assert not errors, errors
    assert not host.usk("run", "--watchdog=kill", "--", "sleep", "2")[1]
