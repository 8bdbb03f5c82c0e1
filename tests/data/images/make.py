#!/usr/bin/env python3
"""Makes an image that later builds must be able to restore: tests/data/images/NAME.tar.

usage: make.py USK NAME     NAME says when it was made: 2026-11-22

Run it when the format has changed in a way that no image in this directory has, and add the new image to
those that are there. tests/old_image_tests.py restores all of them.
"""
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def build(program):
    subprocess.run(["gcc", "-O2", "-static", "-nostdlib", "-fno-stack-protector", "-fno-builtin", "-o", program,
                    HERE / "counter.c"], check=True)
    subprocess.run(["strip", program], check=True)


def main(usk, name):
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch) / "root.tar"
        build(f"{scratch}/counter")
        with tarfile.open(root, "w") as tar:
            tar.add(f"{scratch}/counter", "counter")
            for place in ("tmp", "proc", "dev", "sys"):
                entry = tarfile.TarInfo(place)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
                tar.addfile(entry)
        # The image keeps it.
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "XDG_RUNTIME_DIR": scratch}
        process = subprocess.Popen([usk, "run", "--root", root, "--name", "old", "--cwd", "/", "--", "/counter"],
                                   env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for _ in range(20):
            process.stdout.readline()
        subprocess.run([usk, "checkpoint", "old", "-o", f"{scratch}/image", "--compress", "zstd"],
                       env=environment, check=True)
        process.wait()
        with tarfile.open(HERE / f"{name}.tar", "w") as tar:
            for part in sorted(os.listdir(f"{scratch}/image")):
                entry = tarfile.TarInfo(part)
                with open(f"{scratch}/image/{part}", "rb") as file:
                    entry.size = os.fstat(file.fileno()).st_size
                    tar.addfile(entry, file)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
