"""The official StyleGAN pickles."""

from pathlib import Path

import stylegan_files
from mutations import Tree
from seed_files import tree_of

CANARY = Path("/tmp/ganatomy-fuzz-canary")
HOSTILE = [
    b"cos\nsystem\n(S'touch " + str(CANARY).encode() + b"'\ntR.",
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"\x80\x04c__builtin__\ngetattr\n.",
    b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
    b"]" + b"q\x00h\x00a" * 3 + b".",
    b"(" * 100_000 + b".",
    b"]" * 50_000 + b"a" * 49_999 + b".",
]


def seeds() -> list[Tree]:
    """Return both generations, and pickles that would do something."""
    made = [
        tree_of(lambda root: stylegan_files.write(root / "net.pkl", G_ema=stylegan_files.stylegan2(0))),
        tree_of(lambda root: stylegan_files.write(root / "net.pkl", 2, G_ema=stylegan_files.stylegan3(0))),
    ]
    return [*made, *({"net.pkl": each} for each in HOSTILE)]


def read(root: Path) -> None:
    """Open it and draw; nothing in it may have run."""
    from ganatomy.models.generators import open_generator

    try:
        generator = open_generator(f"stylegan:{root / 'net.pkl'}")
        generator.observe(generator.latents(range(2), 0), list(generator.layers)[:1])
    finally:
        assert not CANARY.exists(), "code was run"
