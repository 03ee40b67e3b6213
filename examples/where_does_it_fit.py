"""Where does the model accept an object?"""

from pathlib import Path

import ganatomy

MODEL, CONCEPT = "bundled:church", "tree"


def main(out: Path = Path(), images: int = 1000, shown: int = 48) -> None:
    study = ganatomy.dissect(MODEL, images=images, out=out / "church")
    context = ganatomy.context(study, concept=CONCEPT, images=shown)
    print(context.summary())
    print(context.under[["object", "places", "effect", "effect_error", "responsive", "random_effect"]])
    ganatomy.write_causal_report(context, out / "context.html")


if __name__ == "__main__":
    main()
