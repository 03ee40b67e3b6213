"""Compiled loops that add the counts of label combinations to those of concepts, and read them at levels."""

from typing import no_type_check

from ganatomy.stats.kernels import compiled


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_rows(counts, starts, members, table):  # pragma: no cover
    """Add the counts of combinations to the rows of the concepts that they consist of.

    Args:
        counts: uint32 [rows, bins] of one unit.
        starts, members: uint32; row k is added to the rows ``members[starts[k]:starts[k+1]]``.
        table: integer [concepts, bins].
    """
    for k in range(starts.shape[0] - 1):
        row = counts[k]
        for m in range(starts[k], starts[k + 1]):
            out = table[members[m]]
            for j in range(row.shape[0]):
                out[j] += row[j]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_at_levels(counts, places, level, null_level, both, on, null):  # pragma: no cover
    """Add the pixels of one unit above the level of each pair.

    Args:
        counts: integer [2, concepts of the batch, bins]: pixels of the images and of mismatched images; overwritten.
        places: int64 [c], where the counts of each scored concept are; -1 where the batch does not show it.
        level, null_level: int16 [c]; -1 for none.
        both: integer [2, c], above the level, of images and of mismatched images that show the concept.
        on: integer [2, c], above the level, whatever they show.
        null: integer [2, c], mismatched pixels above the null level: that show the concept, and of all.
    """
    for n in range(2):
        for c in range(counts.shape[1]):
            row = counts[n, c]
            for j in range(row.shape[0] - 2, -1, -1):
                row[j] += row[j + 1]
    for c in range(level.shape[0]):
        own, other = level[c] + 1, null_level[c] + 1
        for n in range(2):
            if own > 0:
                on[n, c] += counts[n, 0, own]
                if places[c] >= 0:
                    both[n, c] += counts[n, places[c], own]
        if other > 0:
            null[1, c] += counts[1, 0, other]
            if places[c] >= 0:
                null[0, c] += counts[1, places[c], other]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_bins(counts, places, kept, curves, groups, size):  # pragma: no cover
    """Add the bins of one unit: of all pixels, and of those that show each kept concept.

    Args:
        counts: integer [2, concepts of the batch, bins], of images and of mismatched images.
        places: int64 [c], where the counts of each scored concept are; -1 where the batch does not show it.
        kept: int16 [k], of the scored concepts.
        curves: integer [2, 1 + k, bins].
        groups: integer [rows, groups], of the images alone, for the first rows of `curves`; none for no rows.
        size: bins of a group.
    """
    for k in range(kept.shape[0] + 1):
        c = places[kept[k - 1]] if k else 0
        if c >= 0:
            for j in range(counts.shape[2]):
                curves[0, k, j] += counts[0, c, j]
                curves[1, k, j] += counts[1, c, j]
                if k < groups.shape[0]:
                    groups[k, j // size] += counts[0, c, j]
