"""Which units spoil images, and is the model better without them?"""

from pathlib import Path

import ganatomy

MODEL, REAL = "bundled:church", "scenes:church"


def main(out: Path = Path(), images: int = 3000) -> None:
    study = ganatomy.dissect(MODEL, images=min(images, 1000), out=out / "church")
    real = {"layer": "layer4", "real": REAL, "reals": images, "images": images}
    worst = ganatomy.artifacts(study, **real)
    print(worst.summary())
    repair = ganatomy.repair(study, worst=20, **real)
    print(repair.summary())
    print(f"the repaired generator opens as {repair.opens}")


if __name__ == "__main__":
    main()
