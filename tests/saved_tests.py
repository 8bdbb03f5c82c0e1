"""Real programs that are saved, ended and restored whenever a call begins to wait: a part of the groups
programs, tools, python and kselftest that shows most in little time, each compared with itself outside.

    ./dev test saved                                        this part, as CI does
    ./dev test --autosave=every-block programs tools ...    all of them
"""
import fnmatch

import autosave
import kselftest_tests
import program_tests
import tools_tests

PLAN = "every-block"
LIMIT_SECONDS = 60  # Of a busy machine, for any of them.
PLATFORM = "trap"
KSELFTESTS = ["seccomp.*", "ptrace.*", "breakpoints.*", "futex.futex_requeue*", "pidfd.pidfd_*", "rseq.basic_test",
              "sigaltstack.sas", "syscall_user_dispatch.sud_test"]
PROGRAMS = ["bash.*", "build.gcc_make", "build.git", "languages.perl", "languages.sqlite", "tools.unshare",
            "gdb.attach", "gdb.calls", "gdb.catch", "gdb.forks", "gdb.stepping", "gdb.threads", "gdb.watch",
            "strace.attach", "strace.inject", "strace.stacks",
            "python.fcntl", "python.mmap", "python.os", "python.pty", "python.select"]


def jobs(build, options):
    if autosave.PLAN:
        return
    for name, job in all_jobs(build, options):
        yield f"saved.{name}", lambda job=job: planned(job)


def planned(job):
    with autosave.planned(PLAN, LIMIT_SECONDS):
        return job()


def all_jobs(build, options):
    yield "kselftest", lambda: kselftest_tests.run_platform(PLATFORM, build, options, KSELFTESTS)
    found = [*program_tests.jobs(build, options), *tools_tests.jobs(build, options, [PLATFORM])]
    yield from ((name, job) for _, name, job in found if any(fnmatch.fnmatchcase(name, g) for g in PROGRAMS))
