#!/usr/bin/env python3
"""Draws a result of ./dev bench: a bar per row, its time against native on a logarithmic scale, the
goal as a line across it. `bench/chart.py FILE.json` writes FILE.svg."""
import html
import json
import math
import pathlib
import sys

WIDTH, LABELS, RIGHT = 920, 170, 150
ROW, BAR, TOP, BOTTOM = 22, 13, 64, 34
GOOD, MISSED, PLAIN = "#2a9d6f", "#d1603d", "#8a94a6"
INK, FAINT, GRID = "#222b3a", "#6b7587", "#e3e7ee"
PEER_MARKS = {"bwrap": ("#3b6fd4", "bwrap"), "runsc": ("#8e4ec6", "runsc")}
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"


def text(x, y, what, size=12, anchor="start", color=INK, weight="normal"):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
            f"fill='{color}' font-weight='{weight}' {FONT}>{html.escape(what)}</text>")


def line(x1, y1, x2, y2, color, width=1.0, more=""):
    return (f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{color}' "
            f"stroke-width='{width}' {more}/>")


class Scale:
    """Ratios to places, from the least to the greatest shown."""

    def __init__(self, values):
        self.low = min(math.floor(math.log10(min(values))), -1)
        self.high = max(math.log10(max(values)) + 0.08, 1)

    def x(self, ratio):
        share = (math.log10(ratio) - self.low) / (self.high - self.low)
        return LABELS + max(share, 0.0) * (WIDTH - LABELS - RIGHT)

    def ticks(self):
        for exponent in range(self.low, math.ceil(self.high) + 1):
            for digit in (1, 2, 5):
                value = digit * 10.0 ** exponent
                if value <= 10 ** self.high:
                    yield value


def grid(scale, bottom):
    for value in scale.ticks():
        x = scale.x(value)
        strong = value == 1
        yield line(x, TOP - 6, x, bottom, FAINT if strong else GRID, 1.4 if strong else 1)
        yield text(x, TOP - 12, f"{value:g}", 11, "middle", INK if strong else FAINT,
                   "bold" if strong else "normal")


def row_marks(row, scale, y):
    ratio, goal = row["ratio"]["inside"], row["goal"]
    color = PLAIN if goal is None else GOOD if ratio <= goal else MISSED
    one, end = scale.x(1), scale.x(ratio)
    middle = y + BAR / 2
    yield text(LABELS - 10, middle + 4, row["row"], 12, "end")
    yield (f"<rect x='{min(one, end):.1f}' y='{y:.1f}' width='{max(abs(end - one), 1.5):.1f}' "
           f"height='{BAR}' rx='2' fill='{color}'/>")
    if goal is not None:
        yield line(scale.x(goal), y - 3, scale.x(goal), y + BAR + 3, INK, 2)
    for peer, (peer_color, _) in PEER_MARKS.items():
        if peer in row["ratio"]:
            yield (f"<circle cx='{scale.x(row['ratio'][peer]):.1f}' cy='{middle:.1f}' r='4' "
                   f"fill='white' stroke='{peer_color}' stroke-width='2'/>")
    said = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"
    aim = "" if goal is None else f"  of {goal:g}"
    yield text(WIDTH - RIGHT + 16, middle + 4, said, 12, "start", color, "bold")
    yield text(WIDTH - RIGHT + 58, middle + 4, aim, 11, "start", FAINT)


def legend(rows):
    yield text(16, 24, "Time inside, as a multiple of native", 16, weight="bold")
    entries = [("goal met", GOOD), ("goal missed", MISSED), ("no goal", PLAIN)]
    peers = [peer for peer in PEER_MARKS if any(peer in row["ratio"] for row in rows)]
    x = WIDTH - 16 - 90 * len(entries) - 40 - 62 * len(peers)
    for name, color in entries:
        yield f"<rect x='{x}' y='14' width='11' height='11' rx='2' fill='{color}'/>"
        yield text(x + 16, 24, name, 11, color=FAINT)
        x += 90
    yield line(x, 12, x, 27, INK, 2)
    yield text(x + 7, 24, "goal", 11, color=FAINT)
    for peer in peers:
        x += 62
        color, name = PEER_MARKS[peer]
        yield f"<circle cx='{x}' cy='20' r='4' fill='white' stroke='{color}' stroke-width='2'/>"
        yield text(x + 9, 24, name, 11, color=FAINT)


def draw(all_rows):
    rows = [row for row in all_rows if "inside" in row.get("ratio", {})]
    bottom = TOP + ROW * len(rows)
    height = bottom + BOTTOM
    parts = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' "
             f"viewBox='0 0 {WIDTH} {height}'>",
             f"<rect width='{WIDTH}' height='{height}' fill='white'/>"]
    if rows:
        shown = [value for row in rows for value in row["ratio"].values()]
        scale = Scale(shown + [row["goal"] for row in rows if row["goal"]])
        parts += [*legend(rows), *grid(scale, bottom)]
        for n, row in enumerate(rows):
            parts += row_marks(row, scale, TOP + ROW * n + (ROW - BAR) / 2)
        parts.append(text(16, height - 12, "Logarithmic; left of 1 is faster than native.", 11,
                          color=FAINT))
    return "\n".join(parts + ["</svg>", ""])


if __name__ == "__main__":
    source = pathlib.Path(sys.argv[1])
    result = json.loads(source.read_text(encoding="utf-8"))
    source.with_suffix(".svg").write_text(draw(result["rows"]), encoding="utf-8")
