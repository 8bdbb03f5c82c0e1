#!/usr/bin/env python3
"""Runs the tests of this tree and counts them; `./dev test` is this program after a build.

Groups: unit (GoogleTest, beside the code), guest (tests/guest: natively and in the sandbox),
programs, python, abuse (tests/programs), hostile (tests/guest/hostile: attacks on the stub), history
(tests/guest/history: random tracers), edges (of the run-state graph), control (commands on running
sandboxes), checkpoint (images), load (random checkpoints), root (archives and images as --root), errors (what cannot be run), policy (rules and what
they deny), escape (guests that try to get out), kselftest (the kernel's own tests), tools (debuggers and
tracers: tests/tools), saved (some of programs, tools, python and kselftest, saved all the time). A name is a
group or one program of a group; -f selects cases by a glob.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
import autosave  # noqa: E402
import checkpoint_command_tests  # noqa: E402
import checkpoint_stream_tests  # noqa: E402
import checkpoint_tests  # noqa: E402
import confinement_tests  # noqa: E402
import control_tests  # noqa: E402
import edge_tests  # noqa: E402
import error_tests  # noqa: E402
import escape_tests  # noqa: E402
import fork_tests  # noqa: E402
import gdb_tests  # noqa: E402
import guest_tests  # noqa: E402
import history_tests  # noqa: E402
import hostile_tests  # noqa: E402
import image_order_tests  # noqa: E402
import kill_tests  # noqa: E402
import kselftest_tests  # noqa: E402
import lacking  # noqa: E402
import load_tests  # noqa: E402
import old_image_tests  # noqa: E402
import policy_attack_tests  # noqa: E402
import policy_tests  # noqa: E402
import program_tests  # noqa: E402
import root_tests  # noqa: E402
import saved_tests  # noqa: E402
import static_state_tests  # noqa: E402
import tools_tests  # noqa: E402
import unit_tests  # noqa: E402
from outcome import Outcome  # noqa: E402

GROUPS = ["unit", "guest", "programs", "python", "abuse", "hostile", "history", "edges", "control", "root",
          "errors", "policy", "checkpoint", "load", "kselftest", "tools", "saved", "kills", "confinement",
          "escape"]


# A finding of a sanitizer ends the program, so that the test fails; --preset asan, tsan.
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:exitcode=123",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def parse(argv):
    parser = argparse.ArgumentParser(prog="./dev test", description="runs tests; no name: all")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(GROUPS)} or one program")
    parser.add_argument("-f", "--filter", default="*", metavar="GLOB", help="only cases like this")
    parser.add_argument("--platform", action="append", choices=guest_tests.PLATFORMS,
                        help="where guest tests run (default: everywhere)")
    parser.add_argument("--autosave", metavar="PLAN",
                        help="every-block, every-syscall, random:SEED: save, end and restore the sandboxes of "
                             "guest, programs, python, tools and kselftest so often (tests/autosave.py)")
    parser.add_argument("--build", default="build/release", metavar="DIR")
    parser.add_argument("-j", "--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("-v", "--verbose", action="store_true", help="show every case")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args(argv)


def all_jobs(options, build):
    """Every (group, name, function returning an Outcome)."""
    yield from (("unit", *job) for job in unit_tests.jobs(build, options))
    yield from (("guest", *job) for job in guest_tests.jobs(build, options))
    yield from program_tests.jobs(build, options)
    yield from (("hostile", *job) for job in hostile_tests.jobs(build, options))
    yield from (("history", *job) for job in history_tests.jobs(build, options))
    yield from (("edges", *job) for job in edge_tests.jobs(build, options))
    yield from (("control", *job) for job in control_tests.jobs(build, options))
    yield from (("control", *job) for job in gdb_tests.jobs(build, options))
    yield from (("root", *job) for job in root_tests.jobs(build, options))
    yield from (("errors", *job) for job in error_tests.jobs(build, options))
    yield from (("kills", *job) for job in kill_tests.jobs(build, options))
    yield from (("confinement", *job) for job in confinement_tests.jobs(build, options))
    yield from (("escape", *job) for job in escape_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in checkpoint_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in checkpoint_command_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in fork_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in image_order_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in checkpoint_stream_tests.jobs(build, options))
    yield from (("load", *job) for job in load_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in old_image_tests.jobs(build, options))
    yield from (("checkpoint", *job) for job in static_state_tests.jobs(build, options))
    yield from (("policy", *job) for job in policy_tests.jobs(build, options))
    yield from (("policy", *job) for job in policy_attack_tests.jobs(build, options))
    yield from (("kselftest", *job) for job in kselftest_tests.jobs(build, options))
    yield from tools_tests.jobs(build, options)
    yield from (("saved", *job) for job in saved_tests.jobs(build, options))


def selected(group, name, wanted):
    """A job is meant by its group, its name, or its name without the platform or case."""
    family = name.split(".")[0]
    return (not wanted or group in wanted or name in wanted or
            (family in wanted and family not in GROUPS))


def run(jobs, count):
    """Runs jobs, printing one line for each as it ends, and failed cases in full."""
    outcomes = {}
    lock = threading.Lock()

    def one(job, mark=""):
        _, name, function = job
        outcome = function()
        with lock:
            outcomes[name] = outcome
            print(f"{'FAIL' if outcome.failed else 'ok':4} {mark + name:32} {outcome.counts()}"
                  f"  {outcome.seconds:.1f} s", flush=True)
            for line in outcome.notes:
                print("     " + line, flush=True)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(one, jobs))
    # What failed beside other work gets a second chance on its own, in plain sight: a busy machine is
    # no verdict. A case that needs this often is to be mended.
    for job in [job for job in jobs if outcomes[job[1]].failed]:
        one(job, "alone: ")
    total = Outcome()
    for outcome in outcomes.values():
        total.add(outcome)
    return total


def main(argv):
    options = parse(argv)
    os.chdir(HERE.parent)
    autosave.PLAN = options.autosave
    for name, value in SANITIZERS.items():
        os.environ.setdefault(name, value)
    build = pathlib.Path(options.build).resolve()
    if layers := lacking.missing_layers(build):
        print(f"this host does not give {', '.join(layers)} (usk doctor): sandboxes do without")
        build = lacking.build_without(build, layers)
    jobs = [job for job in all_jobs(options, build) if selected(job[0], job[1], options.names)]
    if options.list:
        for group, name, _ in jobs:
            print(f"{group:9} {name}")
        return 0
    if not jobs:
        print(f"no test is called {' '.join(options.names)}; ./dev test --list", file=sys.stderr)
        return 125
    if not (build / "usk").exists():
        print(f"there is no {options.build}/usk yet: what runs in the sandbox is skipped")
    total = run(jobs, options.jobs)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
