"""The order in which shards are counted, merged with their neighbours, and handed over; who does it is told elsewhere.

Shards stand in blocks of a power of two. What is counted in a block is merged as a binary tree, neighbours with
neighbours, so the numbers depend on the shards and on nothing else: not on who was fast, and not on what was lost.
"""

import heapq
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P")


class Node(NamedTuple):
    """A place in the tree: level 0 are the shards, and place 0 of the next level is over places 0 and 1."""

    level: int
    place: int


class Tree(Generic[P]):
    """Shards in blocks; a piece is whatever stands for a result.

    >>> tree = Tree[str](shards=3, levels=1, ahead=4)
    >>> [tree.take() for _ in range(4)]
    [0, 1, 2, None]
    >>> for shard in (2, 1, 0):
    ...     tree.put(Node(0, shard), "abc"[shard])
    >>> tree.pair()
    (Node(level=1, place=0), 'a', 'b')
    >>> tree.put(Node(1, 0), "ab")
    >>> tree.ready(), tree.count(Node(1, 0))
    ((Node(level=1, place=0), 'ab'), 2)

    Args:
        shards: how many there are.
        levels: a block has 2 ** levels shards.
        ahead: shards that may be taken beyond the first block that is not handed over.
    """

    def __init__(self, shards: int, levels: int, ahead: int) -> None:
        self._shards, self._top, self._ahead = shards, levels, ahead
        self._open = list(range(shards))  # a heap: what nobody has, the first first
        self._pieces: dict[Node, P] = {}
        self._pairs: list[Node] = []
        self._block = 0

    @property
    def done(self) -> bool:
        """Whether all is handed over."""
        return self._block << self._top >= self._shards

    def span(self, node: Node) -> range:
        """Return the shards below a node."""
        return range(node.place << node.level, min((node.place + 1) << node.level, self._shards))

    def count(self, node: Node) -> int:
        """Return how many shards there are below a node."""
        return len(self.span(node))

    def take(self) -> int | None:
        """Return the next shard to count; None while there is none, or while enough is ahead."""
        if self._open and self._open[0] < (self._block << self._top) + self._ahead:
            return heapq.heappop(self._open)
        return None

    @property
    def waiting(self) -> int:
        """How many shards nobody has yet."""
        return len(self._open)

    def put(self, node: Node, piece: P) -> None:
        """Take in what was counted, or merged."""
        while node.level < self._top and (node.place + 1) << node.level >= self._shards and node.place % 2 == 0:
            node = Node(node.level + 1, node.place // 2)  # the last, which has no neighbour
        self._pieces[node] = piece
        if node.level < self._top and Node(node.level, node.place ^ 1) in self._pieces:
            self._pairs.append(Node(node.level + 1, node.place // 2))

    def pair(self) -> tuple[Node, P, P] | None:
        """Return what the next two neighbours will be, and both, and forget them; None while there are none."""
        if not self._pairs:
            return None
        node = self._pairs.pop(0)
        left, right = (self._pieces.pop(Node(node.level - 1, 2 * node.place + i)) for i in range(2))
        return node, left, right

    def ready(self) -> tuple[Node, P] | None:
        """Return the next block, whole and merged, and forget it; None while it is not."""
        node = Node(self._top, self._block)
        return (node, self._pieces.pop(node)) if node in self._pieces else None

    def handed(self) -> None:
        """Go on to the next block: the one that was `ready` has arrived."""
        self._block += 1

    def lost(self, node: Node) -> None:
        """Have all shards below a node counted again."""
        for shard in self.span(node):
            heapq.heappush(self._open, shard)
