"""The guest tests: each program natively, then on every platform of the sandbox.

expectations.txt lists known differences, one `PLATFORM SUITE.NAME REASON` per line, globs both
(`sandbox`: every platform of the sandbox): such a case is run, counts as skipped when it fails, and
as failed when it passes (but not on *-saved, where much depends on the moments of checkpoints).
"""
import fnmatch
import os
import re

import autosave
from outcome import Outcome, run_limited
from paths import HERE

# ptrace-4.7: on a host kernel that claims to be older than 4.8, whose order of stops is another.
# trap-3.5: with the other order of stops inside, of the programs that are about it.
# call-saved: saved, ended and restored at each call.
# The other *-saved: saved, ended and restored in another process whenever a call waits; on the other platform
# each time.
SAVED = {"trap-saved": ("trap", "every-block"),
         "ptrace-saved": ("ptrace", "every-block"),
         "other-saved": ("trap", "every-block,alternate"),
         "call-saved": ("trap", "every-syscall")}
PLATFORMS = ["native", "ptrace", "ptrace-4.7", "trap", "trap-3.5", *SAVED]
OLD_ORDER_PROGRAMS = ["seccomp_filter", "seccomp_notify", "seccomp_order", "syscall_dispatch"]
# A platform is the same for most of what a checkpoint consists of: these have what differs.
SAVED_ON_PTRACE = ["clone", "exec", "fault", "fork", "futex", "mmap", "pipe", "ptrace",
                   "ptrace_event", "restart", "run_state", "seccomp_trace", "sigframe", "signal", "thread",
                   "timer"]
# They take seconds; `./dev test --autosave=every-syscall guest` does the same with all.
SAVED_AT_EACH_CALL = {"eventfd": "*", "futex_pi": "RequeuePi.*", "memfd": "*", "run_state": "*", "signalfd": "*"}
LIMIT_SECONDS = 120
SAVED_LIMIT_SECONDS = 300


def command(platform, build, program):
    """The one place that says how a guest test is run."""
    if platform == "native":
        return [program]
    if platform == "ptrace-4.7":
        return ["setarch", "--uname-2.6", *command("ptrace", build, program)]
    if platform == "trap-3.5":
        usk, run, *rest = command("trap", build, program)
        return [usk, run, "--seccomp-stop-order=3.5", *rest]
    plan = None
    if platform in SAVED:
        platform, plan = SAVED[platform]
    # OWN_MACHINE: settings that are the whole system's may be changed.
    return [build / "usk", "run", f"--platform={platform}", *autosave.flags(plan), "--root", "/",
            "--tmpfs", "/tmp", "--env", "OWN_MACHINE=1", "--ro", build / "guest", "--cwd", "/", "--", program]


def programs(build):
    for source in sorted((HERE / "guest").glob("*_test.cc")):
        yield source.stem.removesuffix("_test"), build / "guest" / source.stem


def expectations():
    """(platform, case glob) -> reason."""
    known = []
    for number, line in enumerate((HERE / "guest/expectations.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) != 3 or not (words[0] == "sandbox" or fnmatch.filter(PLATFORMS, words[0])):
            raise SystemExit(f"tests/guest/expectations.txt:{number}: PLATFORM SUITE.NAME REASON")
        known.append(tuple(words))
    return known


def jobs(build, options):
    known = expectations()
    for name, program in programs(build):
        for platform in options.platform or PLATFORMS:
            if platform != "native" and not (build / "usk").exists():
                continue
            if platform == "trap-3.5" and name not in OLD_ORDER_PROGRAMS:
                continue
            if platform in SAVED and (autosave.PLAN or not is_saved(name, platform)):
                continue
            yield f"{name}.{platform}", (
                lambda p=program, w=platform: run(p, w, build, options, known))


def is_saved(name, platform):
    if platform == "call-saved":
        return name in SAVED_AT_EACH_CALL
    return platform == "trap-saved" or name in SAVED_ON_PTRACE


def expected_reason(platform, case, known):
    for where, glob, reason in known:
        meant = platform != "native" and (where == "sandbox" or fnmatch.fnmatchcase(platform, where))
        if meant and fnmatch.fnmatchcase(case, glob):
            return reason
    return None


def run(program, platform, build, options, known):
    if not program.exists():
        return Outcome(failed=1, notes=[f"{program} was not built"])
    environment = dict(os.environ, LC_ALL="C")
    limit = SAVED_LIMIT_SECONDS if platform in SAVED else LIMIT_SECONDS
    # What makes calls thousands of times would be saved as often.
    plan = SAVED[platform][1] if platform in SAVED else autosave.current()
    few = ["--few-rounds"] if plan == "every-syscall" else []
    cases = options.filter
    if platform == "call-saved" and cases == "*":
        cases = SAVED_AT_EACH_CALL[program.name.removesuffix("_test")]
    done = run_limited([*command(platform, build, program), "-f", cases, *few], limit,
                       env=environment)
    outcome = Outcome(seconds=done.seconds)
    judged = "call-saved" if autosave.PLAN and platform != "native" else platform
    details = []
    for line in done.output.splitlines():
        match = re.match(r"(ok|FAIL|skip) ([\w]+\.[\w]+)(.*)", line)
        if not match:
            details.append(line)
            continue
        count_case(outcome, judged, match, details, known, options.verbose)
        details = []
    if not re.search(r"^\d+ passed, \d+ failed, \d+ skipped$", done.output, re.M):
        outcome.failed += 1
        outcome.notes += details
        outcome.notes.append(f"ended with code {done.code} before its last case was done")
        outcome.notes += done.errors.splitlines()[-20:]
    return outcome


def count_case(outcome, platform, match, details, known, verbose):
    verdict, case, note = match.groups()
    reason = expected_reason(platform, case, known)
    if verdict == "ok" and reason is not None and platform not in SAVED:
        outcome.failed += 1
        outcome.notes.append(f"PASS {case}, though expectations.txt says: {reason}")
    elif verdict == "ok":
        outcome.passed += 1
        if verbose:
            outcome.notes.append(f"ok   {case}")
    elif verdict == "skip":
        outcome.skipped += 1
        if verbose:
            outcome.notes.append(f"skip {case}{note}")
    elif reason is not None:
        outcome.skipped += 1
        if verbose:
            outcome.notes.append(f"known {case}: {reason}")
    else:
        outcome.failed += 1
        outcome.notes += details + [f"FAIL {case}{note}"]
