"""What does one model draw that another does not?"""

from pathlib import Path

import ganatomy

MODELS = {"church": "bundled:church", "livingroom": "bundled:livingroom"}


def main(out: Path = Path(), images: int = 1000) -> None:
    studies = [ganatomy.dissect(model, images=images, out=out / name) for name, model in MODELS.items()]
    comparison = ganatomy.compare(studies, names=list(MODELS), out=out / "compared")
    print(comparison.summary())
    print(comparison.changes[comparison.changes.sure].head(10))


if __name__ == "__main__":
    main()
