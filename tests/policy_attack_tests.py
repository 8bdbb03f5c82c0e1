"""Ways around a policy's rules: tests/guest/policy/attacks.py tries them inside, family by family."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import hosts
from policy_tests import ALL, Box, on_ptrace, rules

CASES = {}
SOURCES = pathlib.Path(__file__).parent / "guest" / "policy"


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    cases = CASES | {f"{name}.ptrace": on_ptrace(test) for name, test in CASES.items()}
    return hosts.case_jobs("policy", cases, build, options)


def attack(box, family, *texts, flags=()):
    """What each attempt came to."""
    output, errors = box.run("python3", "-S", "/attacks/attacks.py", family,
                             flags=["--ro", f"{SOURCES}:/attacks", *ALL, *rules(*texts), *flags])
    found = dict(line.split(" ", 1) for line in output.splitlines())
    assert len(found) > 4, (output, errors)
    return found


def box_of(host):
    box = Box(host)
    for name in ("closed", "above/closed", "hidden", "open"):
        (box.path / name).mkdir(parents=True)
        (box.path / name / "f").write_text("SECRET")
    (box.path / "hidden" / "d" / "e").mkdir(parents=True)
    (box.path / "hidden" / "l").symlink_to("f")
    return box


def refused(found, lifted):
    """What reads the secret without the rule, and does not with it."""
    got = {name: said for name, said in found.items() if "SECRET" in said}
    assert not got, got
    assert any("SECRET" in said for said in lifted.values()), lifted


@case
def no_other_name_of_an_object_helps(host):
    box = box_of(host)
    deny = ["deny/read+/box/closed/***", "deny/read+/box/above/closed/***"]
    found = attack(box, "names", *deny)
    assert (box.path / "closed" / "f").read_text() == "SECRET"
    # Last, since it moves things about.
    refused(found, attack(box, "names"))


@case
def no_other_way_to_execute_helps(host):
    box = box_of(host)
    shutil.copy(box.probe, box.path / "program")
    (box.path / "l.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-o", box.path / "library.so", box.path / "l.c"], check=True)
    shutil.copy("/lib64/ld-linux-x86-64.so.2", box.path / "loader")
    found, lifted = attack(box, "programs", "deny/exec+/box/***"), attack(box, "programs")
    refused(found, lifted)
    assert all("SECRET" in said for said in lifted.values()), lifted


@case
def objects_without_a_name_keep_their_rules(host):
    box = box_of(host)
    found = attack(box, "nameless", "deny/read+/dir/one", "deny/read+/dir/two", "deny/read+/dir/three",
                   "deny/read+/etc/passwd", "deny/exec+/dir/program")
    refused(found, attack(box, "nameless"))


@case
def what_only_grows_is_not_changed(host):
    box = box_of(host)
    refused(attack(box, "growing", "append+/dir/log"), attack(box, "growing"))


@case
def what_is_masked_is_not_learnt(host):
    box = box_of(host)
    (box.path / "masked").write_text("SECRET")
    os.setxattr(box.path / "masked", "user.x", b"SECRET")
    (box.path / "script").write_text("#!/bin/sh\necho SECRET\n")
    os.chmod(box.path / "script", 0o755)
    shutil.copy(box.probe, box.path / "program")
    mask = [f"mask+/box/{name}" for name in ("masked", "script", "program")]
    found = attack(box, "masks", *mask)
    refused(found, attack(box, "masks"))


@case
def code_is_not_written(host):
    box = box_of(host)
    found = attack(box, "memory", "trace/allow_unsafe_exec_memory:0")
    lifted = attack(box, "memory", "trace/allow_unsafe_exec_memory:1")
    refused(found, lifted)
    assert all("SECRET" in said for said in lifted.values()), lifted


@case
def no_spelling_of_an_address_helps(host):
    box = box_of(host)
    found = attack(box, "sockets", "deny/net/connect+127.0.0.0/8!*", "deny/net/connect+::1!*",
                   "deny/net/bind+any!0")
    lifted = attack(box, "sockets")
    refused(found, lifted)
    # MSG_FASTOPEN is not served.
    assert all("SECRET" in said for name, said in lifted.items() if name != "fast"), lifted


@case
def no_call_tells_what_is_hidden(host):
    """With `walk` on, a name that may not be walked is like one that is not there, for every call."""
    box = box_of(host)
    found = attack(box, "hidden", "deny/all+/box/hidden/***")
    told = {name: said for name, said in found.items() if len(set(said.split())) != 1}
    assert not told and len(found) > 40, told
    assert (box.path / "hidden" / "f").read_text() == "SECRET"


@case
def the_rest_of_hardening(host):
    """Options that policy.hardening does not show, by shell built-ins: nothing else is to fail."""
    box = Box(host)
    (box.path / "s.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-z", "execstack", "-o", box.path / "stack", box.path / "s.c"], check=True)
    refused = "2>/dev/null || echo refused"
    for option, stricter, script in (
            ("trace/allow_unsafe_exec_stack", 0, f"/box/stack {refused}"),
            ("trace/allow_unsafe_create", 0, f"mkfifo -m 622 /dir/p; (: <> /dir/p) {refused}"),
            ("trace/force_wx_open", 1, f": > /dir/f; chmod 755 /dir/f; (: >> /dir/f) {refused}"),
            ("trace/force_no_xdev", 1, f"cd /dir; : > f; (: < /box/s.c) {refused}")):
        for value in (0, 1):
            # The shell is there before the option is.
            setting = f"test -c /dev/syd/{option}:{value}; "
            output, errors = box.run("sh", "-c", setting + script, flags=[*ALL, *rules("lock:off")])
            assert (output == "refused\n") == (value == stricter), (option, value, output, errors)


def works(host, directory, script, *flags, home="/home/somebody"):
    """What a script prints with a profile; HOME is a directory of the sandbox's."""
    done = subprocess.run([host.usk_path, "run", "--rw", str(directory), "-e", f"HOME={home}", *flags, "--",
                           "sh", "-c", script], cwd=directory, text=True, capture_output=True, timeout=60,
                          env=dict(host.environment, HOME=home))
    return done.stdout.split()


def away_from_tmp(host):
    """Profiles allow all of /tmp, where this tree itself may be."""
    beside = os.path.dirname(os.path.realpath(host.usk_path))
    return tempfile.TemporaryDirectory(dir="/" if beside.startswith("/tmp/") else beside, prefix="profiles-")


def check(said, *want):
    assert said == list(want), (said, want)


@case
def profiles_keep_what_they_promise(host):
    with away_from_tmp(host) as directory:
        project = pathlib.Path(directory)
        home = project / "home"
        (home / ".config" / "git").mkdir(parents=True)
        (home / ".ssh").mkdir()
        for name in (".netrc", ".git-credentials", ".config/git/credentials", ".config/git/config", ".ssh/id"):
            (home / name).write_text("text\n")
        places = ["/usr/new", "/etc/new", "/opt/new", "/tmp/new", "./new"]
        write = f"for f in {' '.join(places)}; do (: > $f) 2>/dev/null && echo $f; done"
        for profile, want in (("immutable", places[3:]), ("agent", places[3:]), ("build", places[3:]),
                              ("user", places[3:4]), ("container", places)):
            check(works(host, project, write, "--policy", profile), *want)
        # Who has no home of his own has no rights to everything by it.
        check(works(host, project, write, "--policy", "user", home="/"), "/tmp/new")
        read = ("for f in .netrc .git-credentials .config/git/credentials .config/git/config .ssh/id; do "
                "cat home/$f >/dev/null 2>&1 && echo $f; done")
        check(works(host, project, read, "--policy", "agent", home=str(home)), ".config/git/config")
        check(works(host, project, "cat home/.ssh/id home/.config/git/config", "--policy", "user",
                    home=str(home)), "text")


@case
def names_of_directories_are_no_patterns(host):
    """A directory that an archive has named."""
    with away_from_tmp(host) as directory:
        star, beside = pathlib.Path(directory, "*"), pathlib.Path(directory, "beside")
        for place in (star, beside):
            place.mkdir()
            (place / "f").write_text(place.name + "\n")
        check(works(host, star, "cat f ../beside/f", "--ro", str(beside), "--policy", "build"), "*")
