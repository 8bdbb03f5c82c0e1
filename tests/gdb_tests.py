"""gdb on processes of running sandboxes (usk debug --gdb), and usk trace."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import hosts
from hosts import LIMIT_SECONDS

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    if not (shutil.which("gdb") and shutil.which("gcc")):
        return iter(())
    return hosts.case_jobs("control", CASES, build, options)


THREADS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
volatile int watched, go, interrupted;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void handler(int s) { go += 2; }
__attribute__((noinline)) void show_tracer(void) {
  char line[256];
  FILE *f = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, f))
    if (!strncmp(line, "TracerPid", 9)) printf("%s", line);
  fflush(stdout);
  fclose(f);
}
__attribute__((noinline)) int leaf(int n) {
  watched += n;
  return watched;
}
__attribute__((noinline)) int middle(int n) {
  int r = leaf(n) + 1;
  return r;
}
static void *sleeper(void *p) {
  pthread_setname_np(pthread_self(), "sleeper");
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  return p;
}
static void *spinner(void *p) {
  pthread_setname_np(pthread_self(), "spinner");
  while (!go) {}
  return p;
}
static void *poller(void *p) {
  pthread_setname_np(pthread_self(), "poller");
  while (!go) if (poll(0, 0, 2000) < 0) interrupted = errno;
  return p;
}
int main() {
  pthread_t t[3];
  signal(SIGUSR1, handler);
  pthread_mutex_lock(&mutex);
  pthread_create(&t[0], 0, sleeper, 0);
  pthread_create(&t[1], 0, spinner, 0);
  pthread_create(&t[2], 0, poller, 0);
  puts("ready");
  fflush(stdout);
  for (int i = 1; go < 2; i++) {
    middle(i);
    show_tracer();
    usleep(20000);
  }
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  printf("interrupted %d\n", interrupted);
  return 7;
}
"""

PROCESSES = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int n;
__attribute__((noinline)) int work(int v) { n += v; return n; }
static int status_of(pid_t p) {
  int st = 0;
  waitpid(p, &st, 0);
  return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}
int main(int argc, char **argv) {
  if (argc > 1) { work(5); return 3; }
  char c;
  puts("ready");
  fflush(stdout);
  if (read(0, &c, 1) != 1) return 1;
  work(1);
  pid_t p = fork();
  if (!p) _exit(work(2));
  printf("child %d\n", status_of(p));
  p = vfork();
  if (!p) { work(1); _exit(4); }
  printf("vchild %d\n", status_of(p));
  unsigned char text = 0;
  pread(open("/proc/self/mem", O_RDWR), &text, 1, (off_t)(long)work);
  printf("text %s\n", text == 0xcc ? "changed" : "original");
  p = fork();
  if (!p) _exit(ptrace(PTRACE_ATTACH, getppid(), 0, 0) ? errno : 0);
  printf("attach %d\n", status_of(p));
  fflush(stdout);
  execl("/proc/self/exe", argv[0], "again", NULL);
}
"""


def compiled(host, source):
    path = os.path.join(host.runtime, "program")
    subprocess.run(["gcc", "-g", "-O1", "-w", "-pthread", "-x", "c", "-o", path, "-"], input=source,
                   text=True, check=True)
    return path


def ready(host, source, *, program_input=None, platform="auto"):
    """A program in a sandbox that has said so, and its path outside."""
    path = compiled(host, source)
    process = host.start("run", "--name", "box", "--platform", platform, "--ro", host.runtime,
                         "--", path) if program_input is None else with_input(host, path)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process, path


def with_input(host, path):
    process = subprocess.Popen([host.usk_path, "run", "--name", "box", "--ro", host.runtime, "--",
                                path], env=host.environment, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    host.started.append(process)
    return process


def gdb_command(host, path, *commands):
    start = ["set confirm off", "set pagination off", "set width 0", "set sysroot",
             f"target remote | {host.usk_path} debug box --gdb -"]
    return ["gdb", "-batch", "-nx"] + [a for c in (*start, *commands) for a in ("-ex", c)] + [path]


def gdb(host, path, *commands):
    done = subprocess.run(gdb_command(host, path, *commands), env=host.environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS)
    return done.stdout


def has(text, *patterns):
    """Each of them, in this order."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        assert found, (pattern, text)
        at = found.end()


def moves(process):
    """The program goes on, and nobody traces it."""
    for _ in range(3):
        assert process.stdout.readline() == "TracerPid:\t0\n"


def ends_with(process, code):
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == code, (process.returncode, output, errors)
    return output


def session(host, platform):
    process, path = ready(host, THREADS, platform=platform)
    text = gdb(host, path, "info threads", "thread apply all bt", "break leaf", "continue", "bt",
               "finish", "step", "delete", "watch watched", "continue", "stepi", "print $fs_base != 0",
               "print $orig_rax", "print (int)getpid()", "call (void)show_tracer()",
               "info auxv", "set var watched = 5000", "print watched")
    has(text, "sleeper", "spinner", "poller", "in spinner", "in main", "hit Breakpoint 1",
        "#0 .* leaf", "#1 .* middle", "#2 .* main", r"Value returned is \$1", "main|middle|leaf",
        "hit Hardware watchpoint 2", "New value", r"\$2 = 1", r"\$4 = \d+", "AT_ENTRY",
        r"\$5 = 5000", "detached")
    moves(process)
    text = gdb(host, path, "set var go = 2", "continue")
    has(text, r"exited with code 07")
    assert ends_with(process, 7).endswith("interrupted 0\n")


@case
def gdb_session(host):
    session(host, "auto")


@case
def gdb_session_on_ptrace(host):
    session(host, "ptrace")


@case
def gdb_calls_functions_in_sleeping_threads(host):
    process, path = ready(host, THREADS)
    text = gdb(host, path, "set scheduler-locking on", "thread apply all print (int)getpid()",
               "set scheduler-locking off")
    assert len(re.findall(r"^\$\d = (\d+)$", text, re.M)) == 4, text
    moves(process)
    host.usk("kill", "box", "USR1")
    # Calls that were ended for that began anew.
    assert ends_with(process, 7).endswith("interrupted 0\n")


@case
def gdb_sees_signals(host):
    process, path = ready(host, THREADS)
    text = gdb(host, path, "break show_tracer if watched > 20", "continue", "delete",
               "call (int)raise(10)", "print $_siginfo.si_signo", "continue", "continue")
    has(text, "hit Breakpoint 1", "SIGUSR1", r"= 10$", "exited with code 07")
    ends_with(process, 7)


@case
def gdb_follows_exec(host):
    process, path = ready(host, PROCESSES, program_input="x")
    commands = gdb_command(host, path, "break *work", "continue", "continue", "info breakpoints",
                           "continue")
    with subprocess.Popen(commands, env=host.environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as debugger:
        for line in debugger.stdout:
            if line.startswith("Breakpoint 1 at"):
                break
        process.stdin.write("x")
        process.stdin.flush()
        text = debugger.communicate(timeout=LIMIT_SECONDS)[0]
    has(text, r"Breakpoint 1, work \(v=.*1\)", "executing new program", r"work \(v=.*5\)",
        "already hit 2 times", "exited with code 03")
    # Children of either kind ran over the breakpoint as if it were not there.
    output = ends_with(process, 3)
    has(output, "child 3", "vchild 4", "text original", "attach 1")


@case
def gdb_killed_in_the_middle(host):
    process, path = ready(host, THREADS)
    with subprocess.Popen(gdb_command(host, path, "break leaf", "watch watched", "continue",
                                      "echo stopped\\n", "shell sleep 60"),
                          env=host.environment, text=True, start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as debugger:
        for line in debugger.stdout:
            if line == "stopped\n":
                break
        os.killpg(debugger.pid, signal.SIGKILL)
    for _ in range(50):  # What it has written before.
        moves(process)
    host.usk("kill", "box", "USR1")
    ends_with(process, 7)


@case
def gdb_lost_while_it_runs(host):
    process, path = ready(host, THREADS)
    for _ in range(5):
        listening = host.start("debug", "box", "--gdb", ":0")
        port = int(re.search(r":(\d+)$", listening.stderr.readline())[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            ask(client, "?")
            client.sendall(packet("vCont;s"))
        listening.wait(LIMIT_SECONDS)
    moves(process)
    host.usk("kill", "box", "USR1")
    ends_with(process, 7)


def packet(data):
    return f"${data}#{sum(data.encode()) % 256:02x}".encode()


def ask(client, data):
    client.settimeout(LIMIT_SECONDS)
    client.sendall(packet(data))
    got = b""
    while not re.search(rb"#..$", got):
        more = client.recv(65536)
        assert more, (data, got)
        got += more
    client.sendall(b"+")
    return re.search(rb"\$(.*)#..$", got, re.S)[1].decode("latin-1")


@case
def gdb_strictness(host):
    process, path = ready(host, THREADS)
    where = os.path.join(host.runtime, "gdb")
    listening = host.start("debug", "box", "--gdb", where)
    host.until(lambda: os.path.exists(where))
    assert os.stat(where).st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(where)
        assert ask(client, "?").startswith("T00thread:")
        host.refused("debug", "box", "--gdb", "-", saying="another debugger")
        for wrong in ("m", "m0", "m0,", "mffffffffffffffff,10", "M0,1:zz", "Z0,0,1", "Z2,0,0",
                      "Z1,x,1", "P", "P9999=00", "P0=0", "p9999", "G00", "Hg77777", "T0", "H",
                      "qXfer:auxv:read::,", "qXfer:features:read:nonsense:0,1", "vCont;x", "vCont;c:",
                      "QPassSignals:x", "X0,5:a", "Z2,fffffffffffff000,8", "vCont;C"):
            assert ask(client, wrong)[:1] in ("E", ""), wrong
        for unknown in ("", "vMustReplyEmpty", "qNonsense", "bc", "vFile:unlink:2f", "Z3,1000,4"):
            assert ask(client, unknown) == "", unknown
        assert ask(client, "vFile:open:2f6465762f7a65726f,0,0").startswith("F-1"), "no devices"
        with contextlib.suppress(ConnectionResetError):
            client.sendall(b"$" + b"a" * 100000)
            while client.recv(65536):
                pass
    assert listening.wait(LIMIT_SECONDS) == 0
    assert not os.path.exists(where)
    moves(process)


@case
def gdb_names_a_process(host):
    process, path = ready(host, THREADS)
    host.refused("debug", "box", "--gdb", "-", "--pid", "999", saying="999")
    host.refused("debug", "nobody", "--gdb", saying="nobody")
    host.refused("debug", "box", "--gdb", "/no/such/place", saying="/no/such/place")
    host.usk("debug", "box", code=125)
    host.usk("debug", code=125)
    moves(process)


@case
def gdb_kills(host):
    process, path = ready(host, THREADS)
    has(gdb(host, path, "kill"), "killed")
    ends_with(process, 137)


@case
def trace_attaches_and_leaves(host):
    process, path = ready(host, THREADS)
    where = os.path.join(host.runtime, "trace")
    tracing = host.start("trace", "box", "-o", where, "-e", "openat,clock_nanosleep")
    host.until(lambda: os.path.exists(where) and os.path.getsize(where) > 1000)
    tracing.send_signal(signal.SIGINT)
    assert tracing.wait(LIMIT_SECONDS) == 0
    with open(where, encoding="ascii") as file:
        text = file.read()
    has(text, r"\] openat\(AT_FDCWD, \"/proc/self/status\", O_RDONLY, 0\) += 3$")
    assert "read(" not in text and "poll" not in text, text
    moves(process)
    host.refused("trace", "box", "-e", "nonsense", saying="nonsense")
    host.refused("trace", "box", "--pid", "99", saying="99")
    tracing = host.start("trace", "box")
    time.sleep(0.3)
    host.usk("kill", "box", "USR1")
    output = tracing.communicate(timeout=LIMIT_SECONDS)[0]
    assert tracing.returncode == 0
    has(output, "--- SIGUSR1", r"<\.\.\. ", r"\+\+\+ exited with 7 \+\+\+")
    assert ends_with(process, 7).endswith("interrupted 0\n")


@case
def trace_that_nobody_reads(host):
    """The program does not wait for it, nor does the kernel keep all of it."""
    process = host.start("run", "--name", "box", "--", "sh", "-c",
                         "echo ready; i=0; while [ $i -lt 14000 ]; do : < /dev/null; i=$((i+1)); "
                         "done")
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    tracing = host.start("trace", "box")
    time.sleep(0.1)
    tracing.send_signal(signal.SIGSTOP)
    ends_with(process, 0)
    tracing.send_signal(signal.SIGCONT)
    tracing.communicate(timeout=LIMIT_SECONDS)
