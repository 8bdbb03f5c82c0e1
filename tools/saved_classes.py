"""Whether every class that counts references can be saved (src/state/README.md), or says why not."""
import collections
import re

# Counting by references is how objects of the kernel are shared: what is one of these is state,
# unless the list says that it is derived.
ROOT = "RefCounted"
NEVER = "tools/never_saved"

CLASS = re.compile(
    r"^(?P<indent>[ ]*)(?:class|struct)\s+(?P<name>[A-Za-z_][\w:]*)(?:\s+final)?"
    r"(?:\s*:\s*(?P<bases>[^{};]*))?\s*\{", re.M)
SAVED = re.compile(r"^\s*USK_SAVED\(\s*([\w:]+)", re.M)
FIELDS = re.compile(r"^(?P<indent>[ ]*)USK_FIELDS\(", re.M)


def short(name):
    return re.sub(r"<.*", "", name).split("::")[-1].strip()


def bases_of(text):
    if not text:
        return []
    words = [re.sub(r"\b(?:public|private|protected|virtual)\b", "", b) for b in text.split(",")]
    return [short(w) for w in words if w.strip()]


def without_comments(text):
    return re.sub(r"//[^\n]*", lambda m: " " * len(m[0]), text)


class Classes:
    """Class names, without their namespaces, of all files."""

    def __init__(self):
        self.bases = {}  # Name -> bases; of the last one of that name.
        self.places = collections.defaultdict(list)
        self.saved = collections.Counter()
        self.plain_fields = []  # (name, place) of those with USK_FIELDS.

    def add(self, path, text):
        text = without_comments(text)
        found = []
        for m in CLASS.finditer(text):
            name = short(m["name"])
            line = text.count("\n", 0, m.start()) + 1
            found.append((line, len(m["indent"]), name))
            self.places[name].append((path, line))
            self.bases[name] = bases_of(m["bases"]) or self.bases.get(name, [])
        for m in SAVED.finditer(text):
            self.saved[short(m[1])] += 1
        for m in FIELDS.finditer(text):
            line = text.count("\n", 0, m.start()) + 1
            around = [f for f in found if f[0] < line and f[1] < len(m["indent"])]
            if around:
                self.plain_fields.append((around[-1][2], path, line))

    def all_bases(self, name):
        seen, todo = set(), [name]
        while todo:
            for base in self.bases.get(todo.pop(), []):
                if base not in seen:
                    seen.add(base)
                    todo.append(base)
        return seen


def check(files, read, problem):
    """`files` are those of src/ without tests."""
    classes = Classes()
    with_fields = set()
    for path in files:
        text = read(path)
        classes.add(path, text)
        if path != "src/base/fields.h":
            with_fields |= fields_of(text)
    never = {}
    for number, line in enumerate(read(NEVER).splitlines(), 1):
        name, _, why = line.partition(" ")
        if name and not line.startswith("#"):
            never[name] = number
            if not why.strip():
                problem(NEVER, number, f"{name} has no reason")
            if name not in classes.places:
                problem(NEVER, number, f"there is no class {name}")
            elif classes.saved[name] >= len(classes.places[name]):
                problem(NEVER, number, f"{name} can be saved")
    for name, places in classes.places.items():
        if ROOT not in classes.all_bases(name) or name in never:
            continue
        if classes.saved[name] < len(places):
            problem(*places[-1], f"{name} has no USK_SAVED, and is not in {NEVER}")
    for name, path, line in classes.plain_fields:
        inherited = classes.all_bases(name) & with_fields
        if inherited:
            problem(path, line, f"{name} leaves out the fields of {min(inherited)}: USK_FIELDS_OF")


def fields_of(text):
    """Names of classes that say what their fields are."""
    out, found = set(), []
    text = without_comments(text)
    for m in CLASS.finditer(text):
        found.append((m.start(), len(m["indent"]), short(m["name"])))
    for m in re.finditer(r"^([ ]*)(?:USK_FIELDS(?:_OF)?\(|void fields\(A& ar\))", text, re.M):
        around = [f for f in found if f[0] < m.start() and f[1] < len(m[1])]
        if around:
            out.add(around[-1][2])
    return out
