"""Whoever is fast and whatever is lost: every shard comes once, in order, merged by the same tree."""

from hypothesis import given
from hypothesis import strategies as st

from ganatomy.execute.tree import Node, Tree


def whole(shards: range) -> str:
    """Return the tree over some shards, written out."""
    if len(shards) == 1:
        return str(shards[0])
    size = 1 << (len(shards) - 1).bit_length() - 1
    return f"({whole(shards[:size])}+{whole(shards[size:])})"


@given(st.data(), st.integers(1, 40), st.integers(0, 4), st.integers(1, 9))
def test_each_block_is_the_same_tree_whatever_happens(data: st.DataObject, shards: int, levels: int, more: int) -> None:
    size = 1 << levels
    tree = Tree[str](shards, levels, ahead=size + more)
    counting: list[int] = []
    merging: list[tuple[Node, str]] = []
    found: list[str] = []
    losses = data.draw(st.integers(0, 10))
    while not tree.done:
        while (shard := tree.take()) is not None:
            counting.append(shard)
        assert len(counting) <= size + more
        while (pair := tree.pair()) is not None:
            node, left, right = pair
            merging.append((node, f"({left}+{right})"))
        assert counting or merging, "somebody is at it, or it never ends"
        at = data.draw(st.integers(0, len(counting) + len(merging) - 1))
        own = counting.pop(at) if at < len(counting) else merging.pop(at - len(counting))
        node, piece = (Node(0, own), str(own)) if isinstance(own, int) else own
        if losses and data.draw(st.booleans()):
            losses -= 1
            tree.lost(node)
        else:
            tree.put(node, piece)
        while (ready := tree.ready()) is not None:
            node, piece = ready
            if losses and data.draw(st.booleans()):
                losses -= 1
                tree.lost(node)
                break
            assert piece == whole(tree.span(node))
            found.extend(map(str, tree.span(node)))
            tree.handed()
    assert found == [str(shard) for shard in range(shards)]
    assert tree.waiting == 0


def test_nobody_runs_far_ahead_of_a_shard_that_is_slow() -> None:
    tree = Tree[str](1000, levels=1, ahead=6)
    taken = [tree.take() for _ in range(7)]
    assert taken == [0, 1, 2, 3, 4, 5, None]
    for shard in range(2, 6):
        tree.put(Node(0, shard), "")
    assert tree.take() is None
    assert tree.ready() is None
