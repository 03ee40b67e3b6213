"""Words of captions: which there are, and which caption says which."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.experiments.causal.dissected_model import JoinedRows
from ganatomy.stats.base import concat

FEW = 0.2
"""The least spread of a word: of one that 1 caption of 25 says. Else a rare word would outdo one that all say."""
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
STOP = frozenset(
    re.findall(
        r"[a-z]+",
        """
    a about above across after against all along also among an and another any are around as at be been before
    behind being below beneath beside between both but by can could did do does each for from front had has have
    he her here him his i if image in inside into is it its just like me more most much my near next no not of off
    on one onto or other our out outside over own she side so some such than that the their them
    then there these they this those through to together too toward towards two under up upon us very was we were
    what when where which while who will with within without you your
    """,
    )
)
"""Words that name nothing that is seen."""


class Texts(JoinedRows):
    """Captions of images, one after the other.

    Attributes:
        letters: uint8 [n], in UTF-8, a line each.
    """

    FIELDS: ClassVar = {"letters": concat}

    def __init__(self) -> None:
        self.letters = torch.zeros(0, dtype=torch.uint8)

    letters: Tensor

    def add(self, captions: Iterable[str], *more: Tensor) -> None:
        """Take in captions, and rows of the other tables, where there are any."""
        lines = "".join(f"{' '.join(each.split())}\n" for each in captions).encode("utf-8", "replace")
        self.update(torch.tensor(list(lines), dtype=torch.uint8), *more)

    def captions(self) -> list[str]:
        """Return all captions."""
        return bytes(self.letters.tolist()).decode("utf-8").split("\n")[:-1]


def terms(caption: str) -> set[str]:
    """Return the words of a caption, and pairs of neighbours, in small letters, without stop words.

    >>> sorted(terms("A red ball on the grass"))
    ['ball', 'grass', 'red', 'red ball']
    """
    words = WORD.findall(caption.lower())
    pairs = pairwise(words)
    return {word for word in words if word not in STOP} | {f"{a} {b}" for a, b in pairs if not {a, b} & STOP}


def vocabulary(captions: Iterable[str], most: int) -> tuple[str, ...]:
    """Return the words that at least two captions say, the most frequent first, at most so many.

    >>> vocabulary(["a red ball", "a red ball", "a tree", "the tree", "a tree", "fog"], 9)
    ('tree', 'ball', 'red', 'red ball')
    """
    counts = Counter(term for caption in captions for term in terms(caption))
    often = [word for word, count in counts.items() if count > 1]
    return tuple(sorted(often, key=lambda word: (-counts[word], " " in word, word))[:most])


def in_captions(captions: Sequence[str], words: Sequence[str]) -> Float[Tensor, "b w"]:
    """Return 1 where a caption says a word, or several in a row, and 0 elsewhere.

    >>> in_captions(["A stained glass window.", "windows"], ["glass window", "window"])
    tensor([[1., 1.],
            [0., 0.]])
    """
    rows, sought = ([_plain(each) for each in texts] for texts in (captions, words))
    return torch.tensor([[float(word in row) for word in sought] for row in rows]).view(len(rows), len(sought))


def _plain(text: str) -> str:
    return f" {' '.join(WORD.findall(text.lower()))} "
