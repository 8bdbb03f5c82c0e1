"""The guest tests: each program natively, then on every platform of the sandbox.

expectations.txt lists known differences, one `PLATFORM SUITE.NAME REASON` per line (`sandbox`: every
platform of the sandbox): such a case is run, counts as skipped when it fails, and as failed when it passes.
"""
import fnmatch
import os
import re

from outcome import Outcome, run_limited
from paths import HERE

# ptrace-4.7: on a host kernel that claims to be older than 4.8, whose order of stops is another.
# trap-3.5: with the other order of stops inside, of the programs that are about it.
# trap-saved: saved, ended and restored in another process whenever a call waits.
PLATFORMS = ["native", "ptrace", "ptrace-4.7", "trap", "trap-3.5", "trap-saved"]
OLD_ORDER_PROGRAMS = ["seccomp_filter", "seccomp_notify", "seccomp_order", "syscall_dispatch"]
LIMIT_SECONDS = 120


def command(platform, build, program):
    """The one place that says how a guest test is run."""
    if platform == "native":
        return [program]
    if platform == "ptrace-4.7":
        return ["setarch", "--uname-2.6", *command("ptrace", build, program)]
    if platform == "trap-3.5":
        usk, run, *rest = command("trap", build, program)
        return [usk, run, "--seccomp-stop-order=3.5", *rest]
    if platform == "trap-saved":
        usk, run, *rest = command("trap", build, program)
        return [usk, run, "--test-autosave=every-block", *rest]
    # OWN_MACHINE: settings that are the whole system's may be changed.
    return [build / "usk", "run", f"--platform={platform}", "--root", "/", "--tmpfs", "/tmp",
            "--env", "OWN_MACHINE=1", "--ro", build / "guest", "--cwd", "/", "--", program]


def programs(build):
    for source in sorted((HERE / "guest").glob("*_test.cc")):
        yield source.stem.removesuffix("_test"), build / "guest" / source.stem


def saved_programs():
    """Those that a checkpoint must not disturb; not yet all."""
    text = (HERE / "guest/saved_programs.txt").read_text()
    return {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}


def expectations():
    """(platform, case glob) -> reason."""
    known = []
    for number, line in enumerate((HERE / "guest/expectations.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) != 3 or words[0] not in [*PLATFORMS, "sandbox", "ptrace*"]:
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
            if platform == "trap-saved" and name not in saved_programs():
                continue
            yield f"{name}.{platform}", (
                lambda p=program, w=platform: run(p, w, build, options, known))


def expected_reason(platform, case, known):
    for where, glob, reason in known:
        if (fnmatch.fnmatchcase(platform, where) or where == "sandbox") and platform != "native" and fnmatch.fnmatchcase(case, glob):
            return reason
    return None


def run(program, platform, build, options, known):
    if not program.exists():
        return Outcome(failed=1, notes=[f"{program} was not built"])
    environment = dict(os.environ, LC_ALL="C")
    done = run_limited([*command(platform, build, program), "-f", options.filter], LIMIT_SECONDS,
                       env=environment)
    outcome = Outcome(seconds=done.seconds)
    details = []
    for line in done.output.splitlines():
        match = re.match(r"(ok|FAIL|skip) ([\w]+\.[\w]+)(.*)", line)
        if not match:
            details.append(line)
            continue
        count_case(outcome, platform, match, details, known, options.verbose)
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
    if verdict == "ok" and reason is not None:
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
