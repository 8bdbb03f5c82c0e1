"""usk checkpoint and usk restore.

Each case has a runtime directory of its own. What a sandbox counts must go on where it was.
"""
import os
import pathlib
import shutil
import tempfile
import time

import hosts
from hosts import LIMIT_SECONDS

CASES = {}

# Counts lines, through a pipe of two processes, and sleeps in between.
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done | while read n; do echo got $n; done"


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("checkpoint", CASES, build, options)


def started(host, *flags):
    process = host.start("run", "--name", "box", *flags, "--", "sh", "-c", COUNTER)
    assert process.stdout.readline() == "got 1\n"
    return process


def restored(host, image, *flags, lines=3):
    process = host.start("restore", *flags, image)
    return process, [process.stdout.readline() for _ in range(lines)]


def numbers(lines):
    return [int(line.removeprefix("got ")) for line in lines]


@case
def counting_goes_on(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        process = started(host)
        time.sleep(0.3)
        host.usk("checkpoint", "box", "-o", image)
        assert process.wait(LIMIT_SECONDS) == 137
        last = numbers(process.stdout.read().splitlines() or ["got 1"])[-1]
        _, lines = restored(host, image)
        assert numbers(lines) == [last + 1, last + 2, last + 3], (last, lines)


@case
def the_original_may_run_on(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        process = started(host)
        host.usk("checkpoint", "box", "-o", image, "--leave-running")
        before = numbers([process.stdout.readline()])[0]
        assert numbers([process.stdout.readline()])[0] == before + 1
        for name in ("copy1", "copy2"):
            _, lines = restored(host, image, "--name", name)
            first = numbers(lines)[0]
            assert numbers(lines) == [first, first + 1, first + 2] and first <= before + 1, lines


@case
def an_image_runs_on_either_platform(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = f"{scratch}/image"
        for one, other in (("trap", "ptrace"), ("ptrace", "trap")):
            process = started(host, "--platform", one)
            host.usk("checkpoint", "box", "-o", image)
            process.wait(LIMIT_SECONDS)
            last = numbers(process.stdout.read().splitlines() or ["got 1"])[-1]
            copy, lines = restored(host, image, "--platform", other)
            assert numbers(lines) == [last + 1, last + 2, last + 3], (one, last, lines)
            copy.kill()
            copy.wait()
            shutil.rmtree(image)


@case
def damage_is_refused(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = pathlib.Path(scratch) / "image"
        process = host.start("run", "--name", "box", "--cwd", "/", "--tmpfs", "/tmp", "--", "sh", "-c",
                             "seq 100000 >/tmp/numbers; echo up; while :; do sleep 0.05; done")
        assert process.stdout.readline() == "up\n"
        for flags in ((), ("--compress", "zstd")):
            host.usk("checkpoint", "box", "-o", str(image), "--leave-running", *flags)
            host.usk("checkpoint", "verify", str(image))
            for part in ("state", "config", "manifest", "memory", "contents", "contents-table"):
                whole = (image / part).read_bytes()
                damaged = bytearray(whole)
                damaged[len(damaged) // 2] ^= 1
                for bytes_ in (bytes(damaged), whole[:-2]):
                    (image / part).write_bytes(bytes_)
                    _, errors = host.usk("restore", str(image), code=125)
                    assert errors.count("\n") == 1 and part in errors, errors
                (image / part).write_bytes(whole)
            host.usk("checkpoint", "verify", str(image))
            shutil.rmtree(image)


@case
def damage_of_a_large_image_is_met_behind_it(host):
    """To compare all checksums first would take longer than to run on: --verify says so."""
    with tempfile.TemporaryDirectory() as scratch:
        script = "import os, time\nkeep = os.urandom(32 << 20)\nprint('up', flush=True)\nwhile True: time.sleep(0.05)"
        process = host.start("run", "--name", "box", "--", "python3", "-c", script)
        assert process.stdout.readline() == "up\n"
        first, second = pathlib.Path(scratch, "first"), pathlib.Path(scratch, "second")
        host.usk("checkpoint", "box", "-o", str(first), "--leave-running")
        host.usk("checkpoint", "box", "-o", str(second), "--incremental-from", str(first))
        part = first / "memory"
        with open(part, "r+b") as file:
            file.seek(part.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        for image in (first, second):
            host.refused("restore", "--verify", str(image), saying="image part memory: wrong checksum")
            broken = host.run("restore", str(image))
            assert broken.returncode == 137 and "image part memory: wrong checksum" in broken.stderr, broken


@case
def what_is_no_image_stays(host):
    with tempfile.TemporaryDirectory() as scratch:
        started(host)
        keep = pathlib.Path(scratch) / "keep"
        keep.write_text("mine")
        _, errors = host.usk("checkpoint", "box", "-o", scratch, code=125)
        assert errors.count("\n") == 1 and keep.read_text() == "mine", errors
        assert sorted(p.name for p in pathlib.Path(scratch).parent.glob(f"{pathlib.Path(scratch).name}*")) == [
            pathlib.Path(scratch).name]


CHANGES = """
cd /shown; echo changed >a; rm b; mkdir d; mv c d/c; ln -s x link; chmod 600 e; exec 3<>f; echo open >&3; rm f
echo up; sleep 1
ls -A . d; cat a d/c; stat -c %a e; readlink link; cat /dev/fd/3; echo more >>a; cat a
"""


@case
def what_was_changed_of_a_root_comes_back(host):
    """The layer above a directory or an archive that is only read."""
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch, "root")
        for folder in ("bin", "lib", "lib64", "usr", "shown"):
            (root / folder).mkdir(parents=True)
        for name in "abcef":
            (root / "shown" / name).write_text(name + "\n")
        before = sorted(p.name for p in (root / "shown").iterdir())
        shown = [flag for d in ("/bin", "/lib", "/lib64", "/usr") for flag in ("--ro", d)]
        process = host.start("run", "--name", "box", "--root", str(root), *shown, "--", "sh", "-c", CHANGES)
        assert process.stdout.readline() == "up\n", process.stderr.read()
        host.usk("checkpoint", "box", "-o", f"{scratch}/image")
        output, _ = host.usk("restore", f"{scratch}/image")
        assert output.split() == [".:", "a", "d", "e", "link", "d:", "c", "changed", "c", "600", "x", "open",
                                  "changed", "more"], output
        assert sorted(p.name for p in (root / "shown").iterdir()) == before


@case
def an_image_is_small(host):
    with tempfile.TemporaryDirectory() as scratch:
        image = pathlib.Path(scratch) / "image"
        host.sandbox("sleep", "100")
        host.usk("checkpoint", "box", "-o", str(image))
        size = sum(p.stat().st_size for p in image.iterdir())
        assert size <= 300 << 10, size


ZEROS = """
import time
keep = bytearray({} << 20)
for i in range(0, len(keep), 4096): keep[i] = 0
print("up", flush=True)
while True: time.sleep(0.05)
"""


@case
def zeros_take_no_room(host):
    """Nor does a hole of a file."""
    sizes = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, megabytes in (("small", 0), ("large", 64)):
            image = pathlib.Path(scratch, name)
            process = host.start("run", "--name", name, "--cwd", "/", "--tmpfs", "/tmp", "--", "sh", "-c",
                                 f"truncate -s {megabytes}M /tmp/hole; exec python3 -c '{ZEROS.format(megabytes)}'")
            assert process.stdout.readline() == "up\n", process.stderr.read()
            host.usk("checkpoint", name, "-o", str(image))
            host.usk("checkpoint", "verify", str(image))
            sizes.append(sum(p.stat().st_blocks for p in image.iterdir()) // 2)
        assert sizes[1] < sizes[0] + 1024, sizes
        assert (image / "memory").stat().st_size > 64 << 20
