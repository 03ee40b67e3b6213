"""Where an object may be, so that what a model accepts can be judged: asked of the grammar, or of a person."""

from collections.abc import Sequence
from typing import NamedTuple

from ganatomy.experiments.causal.source import Source
from ganatomy.scenes.grammar import Grammar, Rule, grammar
from ganatomy.vocabulary import Concept, find_concept
from ganatomy.weights import bundled_names, card


class Expected(NamedTuple):
    """Names of the objects that something may be inserted on, and of those that it may not; of others nothing is said.

    Attributes:
        category: of the scenes whose grammar says so; None if a person did, or nobody.
        allowed, forbidden: the names.
    """

    category: str | None
    allowed: list[str]
    forbidden: list[str]

    def verdict(self, under: str) -> bool | None:
        """Return whether it may be inserted on an object; None if nothing is said of that."""
        if under in self.allowed:
            return True
        return False if under in self.forbidden else None


def expected(
    source: Source,
    concept: str,
    category: str | None = None,
    allowed: Sequence[str] | None = None,
    forbidden: Sequence[str] | None = None,
) -> Expected:
    """Return where a concept may be: what is given, else what a grammar says, else nothing.

    Args:
        source: the models.
        concept: what is inserted.
        category: of scenes; None for that of a bundled generator.
        allowed, forbidden: if a person says so; both or none.

    Raises:
        UnknownName: no such concept or category.
    """
    vocabulary = source.dissection.vocabulary
    if allowed is not None and forbidden is not None:
        for name in (*allowed, *forbidden):
            if name != vocabulary[0].name:
                find_concept(vocabulary, name)
        return Expected(None, list(allowed), list(forbidden))
    category = category or category_of(source.dissection.spec.generator)
    if category is None:
        return Expected(None, [], [])
    return by_grammar(grammar(category), vocabulary[find_concept(vocabulary, concept)])


def category_of(generator: str) -> str | None:
    """Return the category of scenes that a bundled generator was trained on; None for any other."""
    family, _, name = generator.partition(":")
    if family != "bundled" or name not in bundled_names():
        return None
    category = card(name).get("category")
    return None if category is None else str(category)


def by_grammar(rules: Grammar, concept: Concept) -> Expected:
    """Return where a grammar allows an object, a part or a material, and where it forbids it.

    *Allowed* is what carries it (for parts and materials: what has it, and what carries that). *Forbidden* is what the
    grammar excludes for certain. Nothing is said of the object itself; of what is carried by the very same objects, as
    windows and doors are, since one may take the other's place; and of what it may stand in front of, if that stands on
    the same ground: the foot of a tree before a building is on the grass below. A tree in the midst of the sky is
    forbidden, though the crown of one that stands on grass may reach there.

    >>> from ganatomy.scenes import grammar
    >>> by_grammar(grammar("church"), Concept("door", "object")).allowed
    ['building', 'tower']
    """
    hosts = [name for name, rule in rules.rules.items() if _has(rule, concept)]
    allowed = [u for u in rules.rules if any(u in (*rules.rule(host).on, *_own(host, concept)) for host in hosts)]
    silent = {u for u in rules.rules for host in hosts if _silent(rules, rules.rule(host), u)}
    known = hosts != []
    forbidden = [u for u in rules.rules if known and u not in allowed and u not in silent]
    return Expected(rules.category, allowed, forbidden)


def _has(rule: Rule, concept: Concept) -> bool:
    """Whether an object is the concept, or has it as a part or a material."""
    held = {"object": (rule.name,), "part": rule.parts, "material": rule.materials}
    return concept.name in held.get(concept.category, ())


def _own(host: str, concept: Concept) -> tuple[str, ...]:
    """Return the host of a part or a material, which may get more of it; an object is not its own host."""
    return () if concept.category == "object" else (host,)


def _silent(rules: Grammar, rule: Rule, under: str) -> bool:
    """Whether the grammar leaves open if an object may be seen in the place of another."""
    other = rules.rule(under)
    in_front = under in rule.hides and _stands_on(rules, other, rule.on)
    return under == rule.name or (bool(rule.on) and other.on == rule.on) or in_front


def _stands_on(rules: Grammar, rule: Rule, ground: Sequence[str]) -> bool:
    """Whether an object is carried by some ground, directly or by what is carried by it."""
    return any(host in ground or _stands_on(rules, rules.rule(host), ground) for host in rule.on)
