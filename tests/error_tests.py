"""What goes wrong before a program runs: the exit code, and one line that says what to do."""
import os
import subprocess
import sys

import hosts
from paths import HERE

CASES = {}
SYS_PTRACE = 101


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("errors", CASES, build, options)


def one_line(host, *command, code, saying):
    done = subprocess.run([*command], env=host.environment, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=hosts.LIMIT_SECONDS)
    assert done.returncode == code and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("usk: ") and done.stderr.count("\n") == 1, done.stderr
    assert saying in done.stderr, done.stderr


@case
def command_not_found(host):
    host.refused("run", "--", "no-such", code=127, saying="no-such: command not found")
    host.refused("run", "--", "./no-such", code=127, saying="./no-such: No such file")
    host.refused("run", "--", "/etc/passwd/x", code=127, saying="Not a directory")
    host.refused("run", "-e", "PATH=/none", "--", "ls", code=127, saying="PATH")


@case
def command_not_executable(host):
    directory = os.path.join(host.runtime, "d")
    os.mkdir(directory)
    for name, text, mode in (("plain", "#!/bin/sh\n", 0o644), ("garbage", "no program", 0o755),
                             ("lost", "#!/no/interpreter\n", 0o755)):
        with open(os.path.join(directory, name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(file.name, mode)
    for name, why in (("plain", "Permission denied"), ("garbage", "Exec format error"),
                      ("lost", "No such file"), (".", "Permission denied")):
        host.refused("run", "--ro", f"{directory}:/d", "--", f"/d/{name}", code=126, saying=why)
    host.refused("run", "--ro", f"{directory}:/d", "-e", "PATH=/d", "--", "plain", code=126,
                 saying="plain: not executable")


@case
def bad_flags(host):
    for flags, why in ((["--no-such"], "--no-such"), (["--memory", "x"], "64M"),
                       (["--memory", "1Q"], "64M"), (["--memory", "99999999T"], "too large"),
                       (["--timeout", "0"], "10s"), (["--timeout", "soon"], "10s"),
                       (["--pids", "x"], "--pids"), (["--platform", "none"], "ptrace"),
                       (["--ro", "/no-such"], "/no-such: No such file"),
                       (["--rw", "/no-such:/x"], "/no-such: No such file"),
                       (["--cwd", "/no-such"], "--cwd /no-such"),
                       (["--user", "no-such"], "no-such"), (["--user", "0:no-such"], "no-such"),
                       (["--trace=/no-such/file"], "--trace=/no-such/file"),
                       (["--name", "a/b"], "--name"), (["--root", "/no-such"], "--root /no-such")):
        host.refused("run", *flags, "--", "true", saying=why)
    host.refused("run", saying="command")
    host.refused("run", "--", saying="command")
    host.refused(saying="usk --help")
    host.refused("no-such", saying="usk --help")
    for command in ("ps", "kill", "wait", "stats", "exec"):
        host.refused(command, saying="sandbox")
        host.refused(command, "no-such", *(["true"] if command == "exec" else []), saying="usk list")


@case
def root_not_readable(host):
    """As a user who may not read it; what root may, the others may not."""
    directory = os.path.join(host.runtime, "closed")
    os.mkdir(directory, 0o700)
    os.makedirs(os.path.join(directory, "root"))
    if os.geteuid() != 0:
        return
    os.chmod(host.runtime, 0o755)
    host.refused("run", "--root", os.path.join(directory, "root"), "--", "true",
                 saying="Permission denied", user=65534, group=65534, extra_groups=[])


@case
def places_named_by_descriptors(host):
    directory = os.path.join(host.runtime, "d")
    os.mkdir(directory)
    with open(os.path.join(directory, "file"), "w", encoding="ascii") as file:
        file.write("found\n")
    held, (reader, writer) = os.open(directory, os.O_RDONLY | os.O_DIRECTORY), os.pipe()
    for name in (f"/dev/fd/{held}", f"/proc/self/fd/{held}"):
        assert host.usk("run", "--ro", f"{name}:/d", "--", "cat", "/d/file", pass_fds=[held])[0] == "found\n"
    for flag in ("--root", "--ro"):
        host.refused("run", f"{flag}=/dev/fd/{reader}", "--", "true", pass_fds=[reader], saying="is a pipe")
        host.refused("run", f"{flag}=/dev/fd/99", "--", "true", saying="/dev/fd/99")
    for fd in (held, reader, writer):
        os.close(fd)


@case
def ptrace_not_permitted(host):
    """The platform that needs it says so; another is taken where none was asked for."""
    deny = [sys.executable, HERE / "deny.py", str(SYS_PTRACE), host.usk_path, "run"]
    one_line(host, *deny, "--platform", "ptrace", "--", "true", code=125, saying="ptrace")
    done = subprocess.run([*deny, "--", "true"], env=host.environment, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=hosts.LIMIT_SECONDS)
    assert done.returncode == 0 and done.stderr == b"", done


@case
def host_kernel_too_old(host):
    one_line(host, "setarch", "--uname-2.6", host.usk_path, "run", "--", "true", code=125,
             saying="5.13")


@case
def streams_closed(host):
    """Messages find no file of ours where standard error was."""
    done = subprocess.run(["sh", "-c", f"{host.usk_path} run -- no-such <&- >&- 2>&-"],
                          env=host.environment, timeout=hosts.LIMIT_SECONDS)
    assert done.returncode == 127, done
