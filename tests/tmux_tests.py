"""The command at a real terminal emulator: tmux outside, driven by its own commands.

Each case has a tmux server of its own, with one window of 80 by 24.
"""
import contextlib
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from outcome import Outcome

LIMIT_SECONDS = 20
PROMPT = "at-prompt> "
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    for name, function in CASES.items():
        yield f"tmux.{name}", lambda n=name, f=function: run(n, f, build, options)


def run(name, function, build, options):
    if not fnmatch.fnmatchcase(f"tmux.{name}", options.filter):
        return Outcome()
    if not (build / "usk").exists() or not shutil.which("tmux"):
        return Outcome(skipped=1)
    begin = time.monotonic()
    window = Window(build / "usk")
    try:
        window.open()
        function(window)
        outcome = Outcome(passed=1)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        outcome = Outcome(failed=1, notes=[f"FAIL {name}: {error!r}",
                                           *("  | " + line for line in window.last.strip().splitlines())])
    finally:
        window.end()
    outcome.seconds = time.monotonic() - begin
    return outcome


class Window:
    def __init__(self, usk):
        self.usk = usk
        self.home = tempfile.mkdtemp(prefix="usk-tmux-")
        self.last = ""
        self.box = os.path.basename(self.home)
        environment = dict(os.environ, XDG_RUNTIME_DIR=self.home, TERM="screen", PS1=PROMPT,
                           TMUX_TMPDIR=self.home)
        environment.pop("TMUX", None)
        self.environment = environment

    def open(self):
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
                  "env PS1='" + PROMPT + "' bash --norc --noprofile -i")
        self.see("^at-prompt>$")

    def tmux(self, *arguments):
        done = subprocess.run(["tmux", "-L", "usk", *arguments], env=self.environment, text=True,
                              capture_output=True, timeout=LIMIT_SECONDS, cwd=self.home)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def screen(self):
        self.last = self.tmux("capture-pane", "-p")
        return self.last

    def see(self, pattern):
        """Waits until the screen, without spaces at the ends of lines, matches."""
        limit = time.monotonic() + LIMIT_SECONDS
        while not re.search(pattern, self.screen(), re.M):
            assert time.monotonic() < limit, f"no {pattern!r} on the screen"
            time.sleep(0.05)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def enter(self, how):
        """A shell in a sandbox: its command ("run"), or beside it ("exec")."""
        shell = "env PS1='inside> ' bash --norc --noprofile -i"
        if how == "run":
            self.type(f"clear; {self.usk} run -- {shell}")
        else:
            self.type(f"clear; {self.usk} run --name {self.box} -- sleep 100 & "
                      f"while ! {self.usk} ps {self.box} >/dev/null 2>&1; do sleep 0.1; done; "
                      f"{self.usk} exec -t {self.box} {shell}")
        self.see(r"^inside>$")
        self.type("clear")

    def client(self):
        """The process number of usk exec; the younger one guards the terminal."""
        found = subprocess.run(["pgrep", "-o", "-f", f"^{self.usk} exec -t {self.box}"], text=True,
                               capture_output=True, check=True).stdout.split()
        return int(found[0])

    def end(self):
        with contextlib.suppress(subprocess.SubprocessError, AssertionError):
            subprocess.run([self.usk, "kill", self.box], env=self.environment, capture_output=True,
                           timeout=LIMIT_SECONDS)
            self.tmux("kill-server")
        shutil.rmtree(self.home, ignore_errors=True)


def both(function):
    """A case for each way into a sandbox."""
    for how in ("run", "exec"):
        CASES[f"{function.__name__}_{how}"] = lambda window, h=how: function(window, h)


@both
def shell(window, how):
    window.enter(how)
    window.type("tty; stty size; echo $((6*7))")
    window.see(r"^/dev/(console|pts/0)\n24 80\n42$")
    window.type("exit 5")
    window.see("at-prompt")
    window.type("echo code=$?")
    window.see("^code=5$")


@both
def resize(window, how):
    window.enter(how)
    window.type("trap 'stty size' WINCH; echo armed")
    window.see("^armed$")
    window.resize(100, 30)
    window.keys("Enter")
    window.see("30 100$")


@both
def job_control(window, how):
    window.enter(how)
    window.type("sh -c 'echo begun; exec sleep 77'")
    window.see("^begun$")
    window.keys("C-z")
    window.see(r"Stopped +sh -c 'echo")
    window.type("clear; fg")
    window.see("^sh -c 'echo")
    window.keys("C-c")
    window.see(r"^\^C")
    window.type("echo code=$?")
    window.see("^code=130$")


@both
def pager(window, how):
    window.enter(how)
    window.type("seq 1000 | less")
    window.see(r"^23\n:$")
    window.keys("G")
    window.see(r"^1000\n\(END\)$")
    window.resize(90, 20)
    window.keys("g")
    window.see(r"\A1\n(?:.*\n){17}19\n:$")
    window.keys("q")
    window.see(r"^inside>$")


@both
def editor(window, how):
    window.enter(how)
    window.type("vi -u NONE /tmp/text")
    window.see("^~")
    window.keys("i", "first line", "Enter", "second", "Escape")
    window.see("^first line\nsecond$")
    window.resize(60, 15)
    window.keys(":wq", "Enter")
    window.see("^inside>$")
    window.type("clear; tac /tmp/text")
    window.see("^second\nfirst line$")


@both
def repl(window, how):
    window.enter(how)
    window.type("python3 -q")
    window.see("^>>>$")
    window.type("6*7")
    window.see("^42$")
    window.keys("Up", "BSpace", "9", "Enter")
    window.see("^54$")
    window.type("import time; time.sleep(100)")
    window.keys("C-c")
    window.see("^KeyboardInterrupt$")
    window.keys("C-d")
    window.see(r"^inside>$")


@case
def stopped_client(window):
    """The terminal of a client that was stopped is the shell's, and raw again afterwards."""
    window.enter("exec")
    window.type("cat")
    os.kill(window.client(), signal.SIGSTOP)
    window.see("Stopped(.|\n)*^at-prompt>$")
    window.type("clear; stty -a | grep -o ' icanon'; fg")
    window.see("^ icanon\n.* exec -t .*")
    window.type("through")
    window.see("^through\nthrough$")


@case
def killed_client(window):
    """Whoever loses the command has a terminal that works, and the program there is gone."""
    window.enter("exec")
    window.type("sleep 99")
    os.kill(window.client(), signal.SIGKILL)
    window.see("Killed")
    window.type("clear; stty -a | grep -o ' icanon'; "
                f"{window.usk} ps {window.box} | grep -c 'sleep 99'")
    window.see(r"^ icanon\n0$")
