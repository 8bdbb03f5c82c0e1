"""Ways around a policy's rules: tests/guest/policy/attacks.py tries them inside, family by family."""
import os
import pathlib
import shutil

import hosts
from policy_tests import ALL, Box, rules

CASES = {}
SOURCES = pathlib.Path(__file__).parent / "guest" / "policy"


def case(function):
    CASES[function.__name__] = function
    return function


def on_ptrace(test):
    def run(host):
        host.run_flags = ["--platform=ptrace"]
        return test(host)
    return run


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
def no_call_tells_what_is_hidden(host):
    """With `walk` on, a name that may not be walked is like one that is not there, for every call."""
    box = box_of(host)
    found = attack(box, "hidden", "deny/all+/box/hidden/***")
    told = {name: said for name, said in found.items() if len(set(said.split())) != 1}
    assert not told and len(found) > 40, told
    assert (box.path / "hidden" / "f").read_text() == "SECRET"
