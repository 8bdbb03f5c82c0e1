"""All objects of the program that exist from its start to its end, as the compiler has made them.

State of the kernel belongs to objects that a checkpoint reaches. What is static and can change is reached
as a singleton (USK_SINGLETON), or a counter whose last number is saved (IdCounter), or is listed in
tools/never_saved_static with the reason. That every class can be saved is what tools/lint.py looks at.
"""
import re
import subprocess

import hosts
from paths import HERE

ROOT = HERE.parent
LIST = ROOT / "tools/never_saved_static"
MEMBER = re.compile(r"^(\S+)\.o: +file format")
CHANGING = re.compile(r"^[0-9a-f]+ (.).{6} \.(?:data(?!\.rel\.ro)|bss|tdata|tbss)\S*\s+[0-9a-f]+ (?:\.hidden )?(.*)$")
# Made by the compiler, or by the macros that declare what is saved.
GENERATED = re.compile(r"guard variable|typeinfo|vtable|reference temporary|::usk_(?:saved|singleton)_\d+$|"
                       r"^usk::state::(?:field_names|type_number)<")


def jobs(build, options):
    return hosts.case_jobs("checkpoint", {"static_state": lambda host: check(build)}, build, options)


def plain(symbol):
    """Without what may be spelt in several ways: namespaces without names, arguments, tags."""
    name = re.sub(r"\[abi:\w+\]", "", symbol).removeprefix("usk::").replace("(anonymous namespace)::", "")
    depth, out = 0, ""
    for c in name:
        depth -= c == ")"
        if depth == 0:
            out += c
        depth += c == "("
    return out


def changing_objects(build):
    """Names of what lies in memory that can be written to; with the file where only that one knows it."""
    archives = sorted((build / "src").glob("libusk_*.a"))
    assert archives, f"{build} has no libraries"
    text = subprocess.run(["objdump", "-t", "-C", *archives], check=True, capture_output=True, text=True).stdout
    found, file = set(), ""
    for line in text.splitlines():
        if member := MEMBER.match(line):
            file = member[1]
        match = CHANGING.match(line)
        if match and match[2].startswith("usk::") and not GENERATED.search(match[2]):
            found.add((f"{file}:" if match[1] == "l" else "") + plain(match[2]))
    return found


def saved_by_source():
    """Functions that singletons come from, and names of counters."""
    singletons, counters = set(), set()
    for path in (ROOT / "src").rglob("*.[hc]*"):
        if path.name.endswith(("_test.cc", "_fuzz.cc")):
            continue
        text = path.read_text(errors="replace")
        singletons |= set(re.findall(r"^USK_SINGLETON\((\w+),", text, re.M))
        counters |= set(re.findall(r"^\s*(?:static )?IdCounter (\w+)", text, re.M))
    return singletons, counters


def is_saved(name, singletons, counters):
    parts = re.sub(r"^[\w.]+:(?!:)", "", name).split("::")
    return parts[-1] in counters or any(part.removesuffix("()") in singletons for part in parts)


def check(build):
    listed = {}
    for line in LIST.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            assert reason.strip(), f"{LIST.name}: {name} has no reason"
            listed[name] = reason
    found = changing_objects(build)
    assert len(found) > 50, f"only {len(found)} objects were found"
    singletons, counters = saved_by_source()
    unknown = {n for n in found if not is_saved(n, singletons, counters)} - set(listed)
    assert not unknown, f"they can change and are not saved; save them, or list them in {LIST}: {sorted(unknown)}"
    gone = set(listed) - found
    assert not gone, f"{LIST.name} lists what is not there: {sorted(gone)}"
