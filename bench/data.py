"""What the program benchmarks work on: made once, under build/bench-data, from fixed seeds."""
import pathlib
import random
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent / "build/bench-data"
GIT_FILES = 10_000
TREE_DIRS, TREE_FILES = 1_000, 100  # Files in each directory.
C_FILES = 50
SQL_ROWS = 100_000
MEBIBYTE = 1 << 20


def words(rng, count):
    """Text that compresses about as well as source code does."""
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(2000)]
    return " ".join(rng.choices(vocabulary, k=count))


def git_tree(at):
    rng = random.Random(1)
    for n in range(GIT_FILES):
        path = at / f"d{n // 100:03}" / f"f{n % 100:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words(rng, 20))
    for arguments in (["init", "-q"], ["add", "."],
                      ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm",
                       "all"]):
        subprocess.run(["git", "-C", at, *arguments], check=True)


def find_tree(at):
    for d in range(TREE_DIRS):
        directory = at / f"{d // 100}" / f"{d:04}"
        directory.mkdir(parents=True)
        for n in range(TREE_FILES):
            (directory / f"{n:02}").write_text("x" * n)


def source_tree(at):
    """About 60 MB in 4,000 files."""
    rng = random.Random(2)
    text = words(rng, 40_000)
    for n in range(4_000):
        path = at / f"{n // 200:02}" / f"{n % 200:03}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = rng.randrange(len(text) // 2)
        path.write_text(text[start:start + rng.randint(2_000, 30_000)])


def c_project(at):
    at.mkdir(parents=True)
    rng = random.Random(3)
    for n in range(C_FILES):
        functions = "\n".join(
            f"int f{n}_{i}(int x) {{ char b[64]; snprintf(b, sizeof b, \"%d\", x * {i}); "
            f"return (int)strlen(b) + x / {rng.randint(2, 9)}; }}" for i in range(40))
        (at / f"m{n}.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
                                    f"#include <unistd.h>\n{functions}\n")
    (at / "main.c").write_text("".join(f"int f{n}_0(int);\n" for n in range(C_FILES)) +
                               "int main(void) { return " +
                               " + ".join(f"f{n}_0(0)" for n in range(C_FILES)) + " - 50; }\n")
    objects = " ".join(f"$(O)/m{n}.o" for n in range(C_FILES))
    (at / "Makefile").write_text(f"$(O)/prog: $(O)/main.o {objects}\n\t$(CC) -o $@ $^\n"
                                 f"$(O)/%.o: %.c\n\t$(CC) -O1 -c -o $@ $<\n")


def sql(at):
    rng = random.Random(4)
    with open(at, "w", encoding="ascii") as file:
        file.write("PRAGMA synchronous=OFF;\nCREATE TABLE t(id INTEGER PRIMARY KEY, k INT, v TEXT);\n"
                   "CREATE INDEX i ON t(k);\n")
        for n in range(SQL_ROWS):
            if n % 1000 == 0:
                file.write("BEGIN;\n")
            file.write(f"INSERT INTO t VALUES({n}, {rng.randrange(10**6)}, 'row {rng.random()}');\n")
            if n % 1000 == 999:
                file.write("COMMIT;\n")
        file.write("SELECT count(*), sum(k) FROM t;\n")


def text(size):
    def make(at):
        rng = random.Random(5)
        with open(at, "w", encoding="ascii") as file:
            while file.tell() < size:
                file.write(words(rng, 100_000))
        with open(at, "r+", encoding="ascii") as file:
            file.truncate(size)
    return make


MAKERS = {"git": git_tree, "tree": find_tree, "source": source_tree, "project": c_project,
          "rows.sql": sql, "100m": text(100 * MEBIBYTE), "16m": text(16 * MEBIBYTE)}


def ensure(name):
    """The path of this data, which is made when it is not there yet."""
    path, part = ROOT / name, ROOT / f"{name}.part"
    if not path.exists():
        ROOT.mkdir(parents=True, exist_ok=True)
        if part.is_dir():
            shutil.rmtree(part)
        MAKERS[name](part)
        part.rename(path)
    return path
