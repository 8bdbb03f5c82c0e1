"""The kernel's own tests (tools/testing/selftests), outside and inside, case by case.

They are built once from Debian's package of the kernel's source, into build/kselftest. A case counts
when it passes outside: then it must pass inside, unless conformance/kselftest/expectations.txt lists it,
one `PLATFORM CASE REASON` per line (`sandbox`: every platform; globs). A listed case that passes is a
failure, so that the list shrinks. programs.txt names programs that are not run, and why; saved.txt those
that are not saved all the time (autosave.py).
"""
import concurrent.futures
import fnmatch
import functools
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import autosave
from outcome import OUT_OF_TIME, Outcome, run_limited
from paths import HERE

PLATFORMS = ["trap", "ptrace"]
SUITES = ["breakpoints", "clone3", "core", "exec", "futex/functional", "membarrier", "pidfd", "proc",
          "ptrace", "rseq", "seccomp", "sigaltstack", "syscall_user_dispatch", "timers", "x86"]
SOURCE = pathlib.Path("/usr/src/linux-source-6.1.tar.xz")
FOLDER = HERE / "conformance/kselftest"
LIMIT_SECONDS = 120  # Of a busy machine: the longest takes 30 on its own.
AT_ONCE = 6  # Most of them sleep most of the time.


def jobs(build, options):
    for platform in options.platform or PLATFORMS:
        if platform in PLATFORMS:
            # What fails has its second chance in there.
            run = functools.cache(lambda p=platform: run_platform(p, build, options))
            yield f"kselftest.{platform}", run


def lines_of(name):
    for line in (FOLDER / name).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


# --- Building.

BUILD_LOCK = threading.Lock()


def compiled(build):
    """The folder of the compiled tests, made if need be; None without the source."""
    target = build.parent / "kselftest"
    with BUILD_LOCK:
        if not SOURCE.exists():
            return None
        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            make_all(target)
            (target / "complete").touch()
    return target / "programs"


def make_all(target):
    top = SOURCE.name.removesuffix(".tar.xz")
    subprocess.run(["tar", "xf", SOURCE, "-C", target, "--strip-components=1",
                    f"{top}/tools/testing/selftests", f"{top}/tools/include"], check=True)
    with (target / "log").open("w") as log:
        for suite in SUITES:
            output = target / "programs" / suite
            output.mkdir(parents=True)
            # Not all compile everywhere; those that don't are not there to be compared. The headers are
            # those of the system.
            subprocess.run(["make", "-k", "-C", target / "tools/testing/selftests" / suite,
                            "KHDR_INCLUDES=", "CAN_BUILD_I386=0", f"top_srcdir={target}",
                            f"OUTPUT={output}", "all"],
                           stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}, check=False)
            for extra in (target / "tools/testing/selftests" / suite).glob("Makefile"):
                shutil.copy(extra, output)  # exec/execveat reads it.


def programs(folder):
    """(name, path) of each program that is to be run."""
    skipped = [line.split(None, 1)[0] for line in lines_of("programs.txt")]
    for suite in SUITES:
        for path in sorted((folder / suite).glob("*")):
            name = f"{suite.split('/')[0]}.{path.name}"
            if not path.is_file() or path.is_symlink() or not os.access(path, os.X_OK):
                continue
            if path.suffix in (".so", ".sh") or any(fnmatch.fnmatchcase(name, s) for s in skipped):
                continue
            yield name, path


# --- Running.


def run_program(name, path, prefix, where):
    """What each case of a program came to: {case: passed}, with the output."""
    directory = where / name
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(path.parent, directory, symlinks=True)
    done = run_limited([*prefix, directory / path.name], LIMIT_SECONDS, cwd=directory,
                       env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/"},
                       stderr=subprocess.STDOUT)
    return cases_of(name, done), done


def cases_of(name, done):
    """By TAP lines where there are any; else the program is one case, by its exit code."""
    cases = {}
    for verdict, text in re.findall(r"^(ok|not ok) \d+\s*(.*)$", done.output, re.M):
        text, _, directive = text.partition("# ")
        if directive.upper().startswith(("SKIP", "XFAIL")) or text.upper().startswith("SKIP"):
            continue
        key = f"{name}:{slug(text)}"
        while key in cases:
            key += "'"
        cases[key] = verdict == "ok"
    skip = 4
    if not cases and done.code != skip:
        cases[name] = done.code == 0
    elif done.code == OUT_OF_TIME or done.code > 128:
        cases[name] = False  # It did not get to its end.
    else:
        cases[name] = True
    return cases


def slug(text):
    return re.sub(r"\d+", "N", re.sub(r"[^\w.:/+-]+", "_", text.strip())).strip("_") or "case"


def inside(build, platform):
    return [build / "usk", "run", f"--platform={platform}", *autosave.flags(), "--"]


@functools.cache
def outside(name, path, where):
    # Some leave shared memory behind, which others would see.
    prefix = ["unshare", "--ipc"] if os.geteuid() == 0 else []
    return run_program(name, path, prefix, where / "native")


OUTSIDE_LOCKS = {}


def compare(name, path, build, platform, folder):
    """{case: passed inside} of those that pass outside, and the output inside."""
    with OUTSIDE_LOCKS.setdefault(name, threading.Lock()):
        want, _ = outside(name, path, folder)
    got, done = run_program(name, path, inside(build, platform), folder / autosave.folder(platform))
    return {case: got.get(case, False) for case, passed in want.items() if passed}, done


def expectations(platform):
    known = []
    for line in lines_of("expectations.txt"):
        where, glob, reason = line.split(None, 2)
        if where in (platform, "sandbox"):
            known.append((glob, reason))
    return known


def reason_for(case, known):
    return next((reason for glob, reason in known if fnmatch.fnmatchcase(case, glob)), None)


def surprises(results, known):
    return [case for case, passed in results.items() if passed == (reason_for(case, known) is not None)]


def too_long():
    """Of what is saved all the time."""
    return [line.split(None, 1)[0] for line in lines_of("saved.txt")] if autosave.current() else []


def is_one(name, globs):
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def run_platform(platform, build, options, globs=("*",)):
    if not (build / "usk").exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    folder = compiled(build)
    if folder is None:
        return Outcome(skipped=1, notes=[f"skip: {SOURCE} is not there (package {SOURCE.name[:16]})"])
    known = expectations(platform)
    chosen = [p for p in programs(folder) if fnmatch.fnmatchcase(p[0], options.filter) and
              is_one(p[0], globs) and p[0] not in too_long()]
    scratch = build / "kselftest"

    def one(program):
        return program, *compare(*program, build, platform, scratch)

    outcome = Outcome()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE, initializer=autosave.heir()) as pool:
        done = list(pool.map(one, chosen))
    for program, results, finished in done:
        # Again, on its own: a busy machine is no verdict.
        if surprises(results, known) and finished.code != OUT_OF_TIME:
            _, results, finished = one(program)
        count(outcome, program[0], results, finished, known, options)
    outcome.seconds = time.monotonic() - begin
    return outcome


def count(outcome, name, results, finished, known, options):
    failed = False
    for case, passed in sorted(results.items()):
        reason = reason_for(case, known)
        if passed and reason is None:
            outcome.passed += 1
        elif passed:
            outcome.failed += 1
            outcome.notes.append(f"PASS {case}, though expectations.txt says: {reason}")
        elif reason is not None:
            outcome.skipped += 1
            if options.verbose:
                outcome.notes.append(f"known {case}: {reason}")
        else:
            outcome.failed += 1
            failed = True
            outcome.notes.append(f"FAIL {case}")
    if failed:
        outcome.notes += [f"  {name} ended with code {finished.code}; its output ends:",
                          *("    " + line for line in finished.output.splitlines()[-12:])]
