"""Files of prompts: sentences, templates with slots, pairs, and other letters; as each model of words reads them."""

from pathlib import Path

from mutations import Tree

TEXTS = (
    "a green church by day\n# a remark\n\nan autumn church at night with trees, without a cloud\n",
    "a {season} church by {time} with a {tree|bush|dome}\na church {with|without} a cloud\n",
    "a {green|autumn} church\nan {season} church by {time} and {time}\n",
    "\ufeffune église, ein Schloß\r\n教会\r\n",
)


def seeds() -> list[Tree]:
    """Return a file of each kind."""
    return [{"prompts.txt": text.encode()} for text in TEXTS]


def read(root: Path) -> None:
    """Read it, and what the words of each prompt say, in pairs and by slot."""
    from ganatomy.core.errors import GanatomyError
    from ganatomy.models.generators.sampling.prompts import mentioned, pair_order, read_prompts, slots_of
    from ganatomy.models.generators.words.prompts import SLOTS, word_states

    prompts = read_prompts(str(root / "prompts.txt"), SLOTS)
    assert prompts
    refused = None
    for prompt in prompts[:200]:
        slots_of(prompt)
        mentioned(prompt, {("tree",): [1], ("old", "tree"): [2]})
        try:
            word_states(prompt)
        except GanatomyError as error:
            refused = error
    pair_order(prompts)
    if refused:
        raise refused
