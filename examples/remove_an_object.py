"""Which units cause an object, and does it go without them?"""

from pathlib import Path

import ganatomy

MODEL, LAYER, CONCEPT = "bundled:church", "layer4", "tree"


def main(out: Path = Path(), images: int = 1000, schedule: str = "fast") -> None:
    study = ganatomy.dissect(MODEL, images=images, out=out / "church")
    ace = ganatomy.ace(study, layer=LAYER, concept=CONCEPT, schedule=schedule)
    print(ace.summary())
    effect = ganatomy.ablate(study, layer=LAYER, concept=CONCEPT, units=ace.top(20))
    print(effect.table[["concept", "before", "after", "change", "change_error", "random_change"]].head(10))


if __name__ == "__main__":
    main()
