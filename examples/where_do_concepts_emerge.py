"""Which layers hold which kinds of concepts?"""

from pathlib import Path

import ganatomy

MODEL = "bundled:church"


def main(out: Path = Path(), images: int = 1000) -> None:
    result = ganatomy.dissect(MODEL, images=images, out=out / "church")
    matched = result.units[result.units.matched]
    print(matched.groupby(["layer", "category"], sort=False).label.agg(units="size", concepts="nunique"))


if __name__ == "__main__":
    main()
