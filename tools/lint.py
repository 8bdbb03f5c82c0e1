#!/usr/bin/env python3
"""The checks of ./dev lint that need no compiler: layers, READMEs, sizes, words, format."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import saved_classes

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 60
CPP = (".h", ".cc", ".c", ".inc", ".def")

# Machine paths and the like that must not appear anywhere in the tree. Written so that this file
# does not contain them.
FORBIDDEN_WORDS = [r"(?<![\w.-])/wor[k]/", r"(?<![\w/.-])(?:\.\./)?share[d]/"]

# Where the C library's ::errno may be read: everything else gets its errors from src/host.
ERRNO_ALLOWED = ["src/host", "src/base", "src/cli", "src/boot", "src/platform", "src/arch"]
ERRNO_USE = re.compile(r"(?<![\w.:>])(?:::)?errno(?!\w)|std::errc?no\b")

problems = []


def problem(path, line, text):
    where = f"{path}:{line}" if line else str(path)
    problems.append(f"{where}: {text}")


def tracked_files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                         check=True, capture_output=True, text=True).stdout
    return sorted(f for f in out.split("\0") if f and (ROOT / f).is_file())


def read(path):
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None  # Binary test data.


def layers():
    """Folder -> level, as src/LAYERS says."""
    levels = {}
    for line in read("src/LAYERS").splitlines():
        match = re.match(r"(\d+)\s+(\S+)$", line)
        if match:
            levels[match[2]] = int(match[1])
    return levels


def folder_of(path, levels):
    """The longest listed folder that holds `path` (relative to src/), or None."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        folder = "/".join(parts[:length])
        if folder in levels:
            return folder
    return None


def check_layers(path, text, levels):
    inside = path.removeprefix("src/")
    own = folder_of(inside, levels)
    if own is None:
        problem(path, 0, "its folder is not listed in src/LAYERS")
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target = folder_of(match[1], levels)
        if target is None:
            if not os.path.exists(ROOT / "src" / match[1]) and match[1].startswith("gen/"):
                continue
            problem(path, number, f'"{match[1]}" is in no folder of src/LAYERS')
        elif target != own and levels[target] >= levels[own]:
            problem(path, number, f"{own} (level {levels[own]}) must not include {match[1]} "
                    f"(level {levels[target]})")


OPENS_NO_FUNCTION = re.compile(
    r"\s*(?:(?:else\s+)?if|for|while|switch|do|else|namespace|class|struct|enum|union|extern|try|"
    r"typedef|case|default|return|#)\b|\s*[})]")


def indentation(line):
    return len(line) - len(line.lstrip())


def check_functions(path, text):
    """clang-format ends a function two columns before its first statement."""
    lines = text.splitlines()
    for start, line in enumerate(lines[:-1]):
        if not line.endswith("{") or ")" not in line or OPENS_NO_FUNCTION.match(line):
            continue
        first = next((later for later in lines[start + 1:] if later.strip()), "")
        end = " " * (indentation(first) - 2) + "}"
        for number in range(start + 1, len(lines)):
            if lines[number].startswith(end):
                if number - start - 1 > MAX_FUNCTION_LINES:
                    problem(path, start + 1, f"a function of {number - start - 1} lines "
                            f"(at most {MAX_FUNCTION_LINES})")
                break


def check_sizes(path, text):
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        problem(path, 0, f"{lines} lines (at most {MAX_FILE_LINES})")


def check_words(path, text):
    for pattern in FORBIDDEN_WORDS:
        for match in re.finditer(pattern, text):
            problem(path, text.count("\n", 0, match.start()) + 1, f"mentions {match[0]!r}")
    if path.endswith((".h", ".cc", ".py", ".sh")):
        for match in re.finditer(r"\b(?:TODO|FIXME|XXX)\b(?!XXX|\))", text):
            line_start = text.rfind("\n", 0, match.start()) + 1
            if re.match(r"\s*(//|#|\*)", text[line_start:match.end()]):
                problem(path, text.count("\n", 0, match.start()) + 1,
                        f"a {match[0]}: finish it, or write it down in docs/")


def check_errno(path, text):
    if any(path.startswith(folder + "/") for folder in ERRNO_ALLOWED):
        return
    if path.endswith(("_test.cc", "_fuzz.cc")):
        return
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        if "#include" not in code and ERRNO_USE.search(re.sub(r'"[^"]*"', "", code)):
            problem(path, number, "uses errno; host calls go through src/host")


def check_readmes(files, levels):
    folders = {os.path.dirname(f) for f in files if f.startswith("src/") and f.endswith((".h", ".cc"))}
    for folder in sorted(folders):
        listed = folder.removeprefix("src/")
        if listed in levels and f"{folder}/README.md" not in files:
            problem(folder, 0, "has no README.md")


def check_format(files):
    """clang-format in a few processes of many files each."""
    chunks = [files[i::4] for i in range(4) if files[i::4]]

    def run(chunk):
        return subprocess.run(["clang-format-19", "--dry-run", "-Werror", "--ferror-limit=1", *chunk],
                              cwd=ROOT, capture_output=True, text=True).stderr

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        output = "".join(pool.map(run, chunks))
    for file in sorted(set(re.findall(r"^(\S+?):\d+:\d+: error:", output, re.M))):
        problem(file, 0, "not formatted; run ./dev fmt")


def check_syscall_table():
    """docs/syscalls.md is generated from syscalls.def by the product itself."""
    usk = ROOT / "build/release/usk"
    if not (ROOT / "src/syscalls/syscalls.def").exists() or not usk.exists():
        return
    made = subprocess.run([usk, "debug", "syscalls-md"], capture_output=True, text=True)
    if made.returncode != 0:
        return  # A command that does not make it yet.
    page = ROOT / "docs/syscalls.md"
    if not page.exists() or page.read_text() != made.stdout:
        problem("docs/syscalls.md", 0,
                "is not what the code says; run build/release/usk debug syscalls-md >docs/syscalls.md")


def main():
    files = tracked_files()
    levels = layers()
    for path in files:
        text = read(path)
        if text is None:
            continue
        if path != "LICENSE":
            check_words(path, text)
        if not path.endswith(CPP):
            continue
        check_sizes(path, text)
        check_functions(path, text)
        if path.startswith("src/"):
            if not path.endswith(("_test.cc", "_fuzz.cc")):  # These are linked with everything.
                check_layers(path, text, levels)
            check_errno(path, text)
    check_readmes(files, levels)
    saved_classes.check([f for f in files if f.startswith("src/") and f.endswith((".h", ".cc"))
                         and not f.endswith(("_test.cc", "_fuzz.cc", "_testing.h"))],
                        read, problem)
    check_format([f for f in files if f.endswith((".h", ".cc", ".c"))])
    check_syscall_table()
    for text in problems:
        print(text)
    if problems:
        print(f"lint: {len(problems)} problems")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
