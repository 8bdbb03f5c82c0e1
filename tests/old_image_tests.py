"""Images that earlier builds have made (tests/data/images, made by make.py there) run on."""
import pathlib
import subprocess
import tarfile
import tempfile

import hosts

IMAGES = pathlib.Path(__file__).resolve().parent / "data" / "images"


def jobs(build, options):
    cases = {f"old_image_{path.stem}": lambda host, p=path: runs_on(host, p) for path in IMAGES.glob("*.tar")}
    return hosts.case_jobs("checkpoint", cases, build, options)


def runs_on(host, archive):
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch)
        host.usk("checkpoint", "verify", scratch)
        for platform in ("trap", "ptrace"):
            copy = host.start("restore", "--platform", platform, scratch)
            lines = [copy.stdout.readline().strip() for _ in range(10)]
            if lines[0] == "":
                errors = copy.stderr.read()
                # Another processor cannot run what this one was promised.
                assert "processor" in errors and errors.count("\n") == 1, errors
                continue
            first = int(lines[0])
            assert first >= 20 and lines == [str(first + i) for i in range(10)], lines
            copy.kill()
            copy.wait()
