"""Where a model came from, as a picture: boxes from the sources down to the version."""

from collections.abc import Mapping
from typing import Any

WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT = 360, 58, 164, 40
COLUMNS = (4, 192)  # left edges of the two columns
# Row and column of each box, so that arrows go down and pass no box.
PLACES = {
    "sources": (0, 0),
    "ingest": (1, 0),
    "clean": (2, 0),
    "dedup": (3, 0),
    "tokenizer": (4, 1),
    "shard": (5, 0),
    "train": (6, 1),
    "evaluate": (7, 0),
    "version": (8, 1),
}
# Where what earlier runs made stands, by what is made of it.
EARLIER = {"tokenizer": (3, 1), "train": (5, 1)}
FINGERPRINT_DIGITS = 8


def lineage(snapshot: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any] | None:
    """Return boxes and arrows of a run's artifacts; None where it made none.

    `words` has 'sources', 'files', 'earlier' and 'version' in the page's language.
    """
    stages = {stage["stage"]: stage for stage in snapshot["stages"]}
    if not stages:
        return None
    made = {stage["fingerprint"] for stage in stages.values()}
    boxes = {name: _stage_box(name, stage) for name, stage in stages.items() if name in PLACES}
    arrows = []
    for name in list(boxes):
        for parent in stages[name]["parents"]:
            if parent["stage"] == "sources":
                boxes["sources"] = _sources_box(stages, parent, words)
                arrows.append(("sources", name))
            elif parent["fingerprint"] in made:
                arrows.append((parent["stage"], name))
            elif name in EARLIER and parent["stage"] == name:
                earlier = f"earlier {name}"
                boxes[earlier] = _box(
                    EARLIER[name],
                    f"{words['earlier']}: {name}",
                    parent["fingerprint"][:FINGERPRINT_DIGITS],
                )
                arrows.append((earlier, name))
    registration = snapshot["registration"]
    if registration is not None and "train" in boxes:
        label = f"{words['version']} {registration['version']}"
        boxes["version"] = _box(PLACES["version"], _cut(registration["name"]), label)
        arrows += [("train", "version"), ("evaluate", "version")]
    rows = 1 + max(box["row"] for box in boxes.values())
    return {
        "width": WIDTH,
        "height": rows * ROW - (ROW - BOX_HEIGHT) + 8,
        "box_width": BOX_WIDTH,
        "box_height": BOX_HEIGHT,
        "boxes": list(boxes.values()),
        "arrows": [_arrow(boxes[a], boxes[b]) for a, b in arrows if a in boxes and b in boxes],
    }


def _box(place: tuple[int, int], title: str, note: str) -> dict[str, Any]:
    row, column = place
    return {"row": row, "x": COLUMNS[column], "y": 4 + row * ROW, "title": title, "note": note}


def _stage_box(name: str, stage: Mapping[str, Any]) -> dict[str, Any]:
    return _box(PLACES[name], name, stage["fingerprint"][:FINGERPRINT_DIGITS])


def _sources_box(
    stages: Mapping[str, Any], parent: Mapping[str, Any], words: Mapping[str, str]
) -> dict[str, Any]:
    files = stages["ingest"]["files"] if "ingest" in stages else None
    note = parent["fingerprint"][:FINGERPRINT_DIGITS]
    return _box(
        PLACES["sources"],
        words["sources"],
        note if files is None else f"{files:,} {words['files']}, {note}",
    )


def _cut(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"


def _arrow(above: Mapping[str, Any], below: Mapping[str, Any]) -> str:
    """Return the path of an arrow: straight down, or bent towards the other column."""
    start_x, start_y = above["x"] + BOX_WIDTH / 2, above["y"] + BOX_HEIGHT
    end_x, end_y = below["x"] + BOX_WIDTH / 2, below["y"]
    if start_x == end_x:
        return f"M{start_x} {start_y}V{end_y - 5}"
    side = BOX_WIDTH / 4 if end_x > start_x else -BOX_WIDTH / 4
    end_x -= side
    start_x += side
    middle = (start_y + end_y) / 2
    return f"M{start_x} {start_y}C{start_x} {middle} {end_x} {middle} {end_x} {end_y - 5}"
