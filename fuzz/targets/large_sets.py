"""Sets of 500 images, whose damage lies behind the first that are looked at: folders with label maps, zips, Parquet."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mutations import Tree, packed
from PIL import Image
from seed_files import image_file

BRIEF = 12
SECONDS = 20
MANY, SIDE = 500, 8


def seeds() -> list[Tree]:
    """Return a set of each kind; folders are named in the order in which they are listed here."""
    images = [image_file("PNG" if i % 2 else "JPEG", SIDE, i) for i in range(MANY)]
    names = [f"{i // 100:05d}/img{i:08d}.{'png' if i % 2 else 'jpg'}" for i in range(MANY)]
    classes = json.dumps({"labels": [[name, i % 3] for i, name in enumerate(names)]}).encode()
    zipped = {**dict(zip(names, images, strict=True)), "dataset.json": classes}
    words = [["nothing", "nothing"], *([f"thing {i}", "object"] for i in range(300))]
    folder: dict[str, bytes] = {"dataset/vocabulary.json": json.dumps(words).encode()}
    for i, (name, image) in enumerate(zip(names, images, strict=True)):
        folder[f"dataset/images/{name}"] = image
        folder[f"dataset/labels/object/{Path(name).with_suffix('.png')}"] = label_map(i)
    return [
        {"dataset": packed(zipped, 8)},
        {"dataset": packed(zipped)},
        {"dataset": table(images, compression="snappy", row_group_size=60)},
        {"dataset": table(images, compression="zstd", row_group_size=500, use_dictionary=False, data_page_size=2000)},
        {
            "dataset/train-00000-of-00002.parquet": table(images[:250], compression="gzip", data_page_version="2.0"),
            "dataset/train-00001-of-00002.parquet": table(images[250:], compression="none", row_group_size=7),
        },
        folder,
    ]


def label_map(seed: int) -> bytes:
    """Return a label map of 8 or 16 bits, or of a palette."""
    labels = (
        np.random.default_rng(seed)
        .integers(0, 300 if seed % 2 else 256, (SIDE, SIDE))
        .astype(np.uint16 if seed % 2 else np.uint8)
    )
    image, file = Image.fromarray(labels), io.BytesIO()
    if seed % 4 == 2:
        image.putpalette(list(range(256)) * 3)
    image.save(file, "PNG")
    return file.getvalue()


def table(images: list[bytes], **options: object) -> bytes:
    """Return a Parquet file as the hub stores images with classes."""
    words = {"info": {"features": {"label": {"names": ["church", "barn", "house"], "_type": "ClassLabel"}}}}
    columns = {
        "image": [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(images)],
        "label": [i % 3 for i in range(len(images))],
        "text": [f"an image of {i % 7}" for i in range(len(images))],
    }
    file = io.BytesIO()
    marked = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(words)})
    pq.write_table(marked, file, **options)
    return file.getvalue()


def read(root: Path) -> None:
    """Open it, and look at every image with its labels, in an order of chance."""
    from ganatomy.core.errors import GanatomyError
    from ganatomy.datasets import open_images
    from ganatomy.datasets.files import StoredImages
    from ganatomy.datasets.protocol import CropSpec

    found = open_images(str(root / "dataset"))
    assert isinstance(found, StoredImages)
    assert len(found.fingerprint) == 64
    count, refused = min(MANY, len(found._splits)), None
    numbers, frame = found.sample_indices(range(count), 1), CropSpec((8, 8), 1.0)
    found.class_ids(numbers)
    for start in range(0, count, 25):
        try:
            found.images(numbers[start : start + 25], frame)
            found.labels(numbers[start : start + 25], frame)
        except GanatomyError as error:
            refused = error
    if refused:
        raise refused
