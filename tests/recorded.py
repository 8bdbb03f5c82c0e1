"""A build folder like another, whose sandboxes write down the host calls they make (usk run
--record-host-calls): for the test that compares those with src/host/calls.def."""
import pathlib


def make_folder(build, folder, record):
    """`folder` becomes `build` with such a usk; what it notes goes to the file `record`."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in build.iterdir():
        link = folder / entry.name
        if entry.name != "usk" and not link.is_symlink():
            link.symlink_to(entry)
    usk = folder / "usk"
    usk.write_text(f"""#!/bin/sh
[ "$1" = run ] || exec {build}/usk "$@"
shift
exec {build}/usk run --record-host-calls={record} "$@"
""")
    usk.chmod(0o755)


def read_record(record):
    """(names of used rules by index, lines of missing ones)."""
    used, missing = {}, set()
    for line in pathlib.Path(record).read_text().splitlines():
        words = line.split()
        if words[0] == "used":
            used[int(words[1])] = words[2]
        else:
            missing.add(line)
    return used, missing
