"""Who runs a benchmark: the host itself, Usk, and with --peers other sandboxes."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
USK = ROOT / "build/release/usk"
BWRAP = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
         "--unshare-all", "--die-with-parent", "--"]
RUNSC = ["runsc", "--platform=ptrace", "--network=none", "do"]


class Side:
    """`prefix` goes before each command. Programs that pin themselves do so natively only: on one
    CPU the native ping-pongs are at their best."""

    def __init__(self, name, prefix, pins=False):
        self.name = name
        self.prefix = prefix
        self.pins = pins

    def run(self, command, cwd=None, quiet=True, timeout=900, before=()):
        """Runs a command to its end; its output, or None when it fails. `before` runs the whole
        side, such as taskset(1)."""
        environment = dict(os.environ, **({"BENCH_PIN": "1"} if self.pins else {}))
        # A directory is entered inside: not every sandbox starts where it was called.
        inner = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *command] if cwd else command
        argv = [str(a) for a in (*before, *self.prefix, *inner)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, env=environment,
                                  timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            print(f"{self.name}: {' '.join(map(str, command))}: out of time", file=sys.stderr)
            return None
        if done.returncode == 0:
            return done.stdout
        if not quiet or self.name in ("native", "inside"):
            print(f"{self.name}: {' '.join(map(str, command))}: code {done.returncode}: "
                  f"{done.stderr[-300:]}", file=sys.stderr)
        return None


def native():
    return Side("native", [], pins=True)


def inside(platform=None):
    flags = [f"--platform={platform}"] if platform else []
    return Side("inside", [USK, "run", *flags, "--root", "/", "--tmpfs", "/tmp", "--"])


def peers():
    """Those that are installed and can run anything at all here."""
    found = []
    for name, prefix in (("bwrap", BWRAP), ("runsc", RUNSC)):
        side = Side(name, prefix)
        if not shutil.which(name):
            print(f"bench: there is no {name}", file=sys.stderr)
        elif side.run(["true"], quiet=False, timeout=60) is None:
            print(f"bench: {name} does not work here", file=sys.stderr)
        else:
            found.append(side)
    return found
