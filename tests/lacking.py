"""Hosts that cannot keep every promise (usk doctor): tests run there, too, with what is missing named."""
import json
import pathlib
import subprocess

LAYERS = ("seccomp", "landlock", "namespaces", "user-namespace")


def missing_layers(build):
    usk = build / "usk"
    if not usk.exists():
        return []
    done = subprocess.run([usk, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False)
    return [f["name"] for f in json.loads(done.stdout or "[]") if f["name"] in LAYERS and not f["holds"]]


def build_without(build, layers):
    """A folder like `build` whose sandboxes do without these."""
    folder = pathlib.Path(build, "without-" + "-".join(layers))
    folder.mkdir(exist_ok=True)
    for entry in build.iterdir():
        link = folder / entry.name
        if entry.name not in ("usk", folder.name) and not link.is_symlink():
            link.symlink_to(entry)
    usk = folder / "usk"
    usk.write_text(f"""#!/bin/sh
case "$1" in run | restore | fork | learn) ;; *) exec {build}/usk "$@" ;; esac
command=$1
shift
exec {build}/usk "$command" --unsafe-without={",".join(layers)} "$@"
""")
    usk.chmod(0o755)
    return folder
