"""Which unit draws which object?"""

from pathlib import Path

import ganatomy

MODEL = "bundled:church"


def main(out: Path = Path(), images: int = 1000) -> None:
    result = ganatomy.dissect(MODEL, images=images, out=out / "church")
    print(result.summary())
    for concept in ("tree", "dome", "window"):
        print(f"\n{concept}:\n{result.ranked(concept).head(3)}")
    ganatomy.write_report(result, out / "church" / "report.html")


if __name__ == "__main__":
    main()
