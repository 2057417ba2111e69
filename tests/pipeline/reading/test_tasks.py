"""Groups of small files follow from the files themselves: what changes elsewhere moves none."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reading.source_file import SkippedFile, SourceFile
from pipeline.reading.tasks import (
    GROUP_BYTES_MIN,
    GROUP_MEANS_MAX,
    ends_group,
    group_bytes,
    tasks_of,
)

TASK_BYTES = 64 << 20
MEAN = GROUP_BYTES_MIN  # of less than 64 MiB of text
BOUND = GROUP_MEANS_MAX * MEAN
names = st.tuples(st.sampled_from(["books", "web"]), st.text("abc/", min_size=1, max_size=6))
folders = st.dictionaries(names, st.integers(0, 2 * BOUND), min_size=1, max_size=60)


def source_files(sizes):
    return [
        SourceFile(source, None, None, Path(relative), relative, size, "0" * 64)
        for (source, relative), size in sorted(sizes.items())
    ]


def groups_of(sizes):
    tasks = tasks_of(source_files(sizes), (), TASK_BYTES)
    assert [task.index for task in tasks] == list(range(len(tasks)))
    return [tuple((file.source_name, file.relative) for file in task.files) for task in tasks]


@given(folders)
def test_groups_are_the_files_in_order_one_source_each_and_within_the_bound(sizes):
    groups = groups_of(sizes)
    assert [name for group in groups for name in group] == sorted(sizes)
    for group in groups:
        assert len({source for source, _ in group}) == 1
        assert len(group) == 1 or sum(sizes[name] for name in group) <= BOUND


def runs_of(sizes):
    """Files between two ends by hash, by each of them."""
    runs, run = {}, []
    ends = {(f.source_name, f.relative): ends_group(f, MEAN) for f in source_files(sizes)}
    for name in sorted(sizes):
        if run and (run[-1][0] != name[0] or ends[run[-1]]):
            run = []
        run.append(name)
        runs[name] = run
    return runs


def near(name, sizes):
    """Files in the runs that hold a file, or the places before and after it."""
    runs = runs_of(sizes)
    before = [other for other in sizes if other <= name][-1:]
    after = [other for other in sizes if other >= name][:1]
    return {other for neighbour in before + after for other in runs[neighbour]}


@settings(max_examples=300)
@given(folders, st.data())
def test_a_file_that_comes_or_goes_or_changes_leaves_the_groups_elsewhere(sizes, data):
    sizes = dict(sorted(sizes.items()))
    changed = data.draw(st.sampled_from(list(sizes)))
    without = {name: size for name, size in sizes.items() if name != changed}
    other_size = {**sizes, changed: data.draw(st.integers(0, 2 * BOUND))}
    for after in (without, other_size):
        touched = near(changed, sizes) | near(changed, after)
        for group in set(groups_of(sizes)) ^ set(groups_of(after)):
            assert touched.issuperset(group)


def test_one_file_less_changes_few_groups_of_many():
    drawn = random.Random(4)
    sizes = {("web", f"{n:05d}.txt"): int(drawn.lognormvariate(8.5, 1.2)) for n in range(3000)}
    before = set(groups_of(sizes))
    assert 80 < len(before) < 256
    changes = []
    for name in drawn.sample(sorted(sizes), 60):
        after = groups_of({other: size for other, size in sizes.items() if other != name})
        changes.append(len(before.difference(after)))
    assert max(changes) <= 8
    assert sum(changes) / len(changes) < 2
    renamed = dict(sizes)
    renamed["web", "02999a.txt"] = renamed.pop(("web", "00000.txt"))
    assert len(before.difference(groups_of(renamed))) <= 4


@pytest.mark.parametrize(
    ("total", "mean"),
    [
        (0, 256 << 10),
        ((64 << 20) - 1, 256 << 10),
        (64 << 20, 1 << 20),
        (1 << 30, 16 << 20),
        (10 << 30, 64 << 20),
        (1 << 50, 64 << 20),
    ],
)
def test_the_mean_is_a_64th_of_the_text_as_a_power_of_four(total, mean):
    assert group_bytes(total, TASK_BYTES) == mean
    assert group_bytes(total, 500) == 500


def test_what_nobody_reads_is_a_unit_of_its_own():
    files = source_files({("web", "a.txt"): 10})
    skipped = (SkippedFile("web", "b.png", "unknown_type", ""),)
    first, last = tasks_of(files, skipped, TASK_BYTES)
    assert (first, last.files, last.skipped) == (tasks_of(files, (), TASK_BYTES)[0], (), skipped)
    assert replace(last, index=0) == tasks_of([], skipped, TASK_BYTES)[0]
