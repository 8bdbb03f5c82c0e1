"""What the kernel process gives up (docs/SECURITY.md): the list of its host calls against those it
makes, the table in the documentation against the filters, and hosts that give less than this one."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

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


# The situations that a host may be, as prefixes of a command; each must do.
SITUATIONS = {
    "ordinary_user": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    "root_without_capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    "user_namespace": ["unshare", "--user", "--map-root-user", "--mount"],
    "container": ["bwrap", "--dev-bind", "/", "/", "--proc", "/proc", "--unshare-all"],
    # unshare, clone3 and mount are refused.
    "no_namespaces": [sys.executable, str(HERE / "deny.py"), "165,272,435"],
}


def add_situation(name, prefix):
    def test(host):
        if not shutil.which(prefix[0]) or (os.geteuid() != 0 and prefix[0] == "setpriv"):
            return None
        # A place of its own for running sandboxes, and no working directory that it may not see.
        environment = {k: v for k, v in host.environment.items() if k != "XDG_RUNTIME_DIR"}
        for platform in ("trap", "ptrace"):
            done = subprocess.run(
                [*prefix, host.usk_path, "run", f"--platform={platform}", "--cwd", "/", "--", "sh", "-c",
                 "ls /etc/passwd && ls /home && echo written > /etc/x && cat /etc/x"],
                env=environment, cwd="/", capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stdout) == (0, "/etc/passwd\nwritten\n"), done
        return None
    test.__name__ = name
    CASES[name] = test


for situation, words in SITUATIONS.items():
    add_situation(situation, words)


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


def spin_in(pid, binary, symbol):
    """The process computes for ever once it calls this function: two bytes of its code are changed."""
    listing = subprocess.run(["nm", "-C", binary], capture_output=True, text=True, check=True).stdout
    offsets = [int(line.split()[0], 16) for line in listing.splitlines()
               if re.search(rf" [tT] {re.escape(symbol)}\(", line)]
    assert len(offsets) == 1, (symbol, offsets)
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(str(binary)))
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(base + offsets[0])
        memory.write(b"\xeb\xfe")


def stuck_sandbox(host, watchdog):
    """One whose kernel process never comes back from getpriority(2)."""
    process = host.sandbox("sleep", "100", flags=["--watchdog", watchdog])
    spin_in(process.pid, os.path.realpath(host.usk_path), "usk::sys::getpriority")
    host.start("exec", "box", "nice")
    return process


STUCK = r"usk: (internal error: )?stuck with task (\d+), call 140\b"


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
