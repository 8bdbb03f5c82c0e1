"""Debuggers, tracers and programs that confine themselves: tests/tools/TOOL/NAME.sh, run outside and
inside with what they say compared. tests/tools/README.md says how a case is written."""
import fnmatch
import re
import shutil
import subprocess
import threading

import autosave
import program_tests
from outcome import OUT_OF_TIME, Outcome, run_limited
from paths import HERE

TOOLS = HERE / "tools"
LIMIT_SECONDS = 40
PLATFORMS = ["trap", "ptrace"]
# Smaller numbers mean something: sizes, flags, offsets.
LEAST_ADDRESS = 0x10000
building = threading.Lock()


def jobs(build, options, platforms=PLATFORMS):
    known = program_tests.expectations(TOOLS / "expectations.txt")
    for script in sorted(TOOLS.glob("*/*.sh")):
        name = f"{script.parent.name}.{script.stem}"
        yield "tools", name, lambda s=script, n=name: run(s, n, build, options, known, platforms)


def run(script, name, build, options, known, platforms):
    text = script.read_text()
    outcome = Outcome()
    if not fnmatch.fnmatchcase(name, options.filter):
        return outcome
    if autosave.current() and program_tests.header(text, "saved")[:1] == ["no,"]:
        return Outcome(skipped=1)
    missing = [c for c in program_tests.header(text, "needs") if not shutil.which(c)]
    if missing or not (build / "usk").exists():
        return Outcome(skipped=1, notes=[f"skip {name}: no {' '.join(missing or ['usk'])} here"])
    programs = [compiled(build, p) for p in program_tests.header(text, "programs")]
    outside = one_side(script, name, build, [], programs)
    outcome.seconds = outside.seconds
    for platform in program_tests.header(text, "platforms") or PLATFORMS:
        if platform not in (options.platform or platforms):
            continue
        flags = [f"--platform={platform}"]
        inside = one_side(script, name, build, program_tests.inside(build, *flags), programs)
        outcome.seconds += inside.seconds
        judge(outcome, f"{name}.{platform}", outside, inside, known)
    return outcome


def compiled(build, name):
    """The program, its source and what else is to lie beside it, compiled once for all cases."""
    source = TOOLS / "programs" / f"{name}.c"
    at = build / "tools/programs"
    binary = at / name
    flags = program_tests.header(source.read_text().replace("//", "#", 1), "flags")
    with building:
        at.mkdir(parents=True, exist_ok=True)
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-g", "-O0", "-Wall", f"-fdebug-prefix-map={source.parent}=.",
                            f"-fdebug-prefix-map={at}=.", "-o", binary, source, *flags],
                           check=True, cwd=at)
    return [binary, source]


def one_side(script, name, build, prefix, programs):
    # The same path both times, for what prints it.
    directory = build / autosave.folder("tools") / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for file in [TOOLS / "session.sh", *(f for program in programs for f in program)]:
        shutil.copy2(file, directory)
    shutil.copy(script, directory / "case.sh")
    limit = float((program_tests.header(script.read_text(), "limit") or [LIMIT_SECONDS])[0])
    command = [*prefix, *program_tests.CLEAN_ENVIRONMENT, f"HOME={directory}", "bash", "case.sh"]
    return run_limited(command, limit, cwd=directory)


# Where numbers of processes and threads stand: what gdb says of them, what strace does.
IDS = [re.compile(pattern, re.M) for pattern in (
    r"(?:\bLWP|\b[Pp]rocess|\b[Pp]id ?[=:]?|\btid ?[=:]?|si_pid=|Vgdb me) ?(\d+)",
    r"==(\d+)==",
    r"line \d+: +(\d+)",
    r"\bThread (\d+)\.(\d+) ",
    r"^(\d+) (?=\w+\(|\+\+\+|---|<\.\.\.)",
    r"\b(?:tg|tk)?kill\((\d+)(?:, (\d+),)?",
    r"\b(?:wait4|waitid|prlimit64|getpgid|pidfd_open)\((\d{2,})",
    r"\b(?:gettid|getpid|getppid|getpgrp|getpgid|getsid|set_tid_address|v?fork|clone3?|wait4)"
    r"(?:\(| resumed>).* = (\d+)\b",
    r"(?:parent_tid|child_tid)=\[(\d+)\]",
)]


class Names:
    """Gives numbers that differ from run to run names in the order in which they are said."""

    def __init__(self):
        self.names = {}

    def replace(self, match):
        text, begin = match[0], match.start()
        for group in range(match.re.groups, 0, -1):
            if match[group]:
                name = self.names.setdefault(match[group], f"P{len(self.names) + 1}")
                text = text[:match.start(group) - begin] + name + text[match.end(group) - begin:]
        return text


def normal(text):
    """What is the same in each run."""
    text = re.sub(r" +", " ", text)  # Columns are as wide as the numbers in them.
    names = Names()
    for pattern in IDS:
        text = pattern.sub(names.replace, text)
    text = re.sub(r"(S_IFDIR\|[^,]*, st_size=)\d+", r"\1N", text)  # The file system's own affair.
    text = re.sub(r'getrandom\("[^"]*"', 'getrandom("?"', text)
    return re.sub(r"\b0x[0-9a-f]+\b",
                  lambda m: m[0] if int(m[0], 16) < LEAST_ADDRESS else "0xN", text)


def judge(outcome, name, outside, inside, known):
    """Compares line by line; a known difference is skipped while it is there."""
    differences = []
    if outside.code == OUT_OF_TIME:
        differences.append("out of time even outside")
    for what in ("code", "output", "errors"):
        want, got = (normal(str(getattr(side, what))).splitlines() for side in (outside, inside))
        if want != got:
            differences += [f"{what}: outside -, inside +", *changed(want, got)]
    reason = program_tests.known_reason(name, known)
    if differences and reason:
        outcome.skipped += 1
    elif differences:
        outcome.failed += 1
        outcome.notes += [f"FAIL {name}", *("  " + line for line in differences)]
    elif reason:
        outcome.failed += 1
        outcome.notes.append(f"PASS {name}, though expectations.txt says: {reason}")
    else:
        outcome.passed += 1


def changed(want, got):
    import difflib
    lines = list(difflib.unified_diff(want, got, lineterm="", n=2))[2:]
    return lines[:60]
