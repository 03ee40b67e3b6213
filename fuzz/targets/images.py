"""Sets of images: folders with label maps or classes, zips, Parquet, Broden."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from mutations import Tree, packed
from seed_files import image_file, index_map

WORDS = b'[["nothing", "nothing"], ["sky", "object"]]'
CLASSES = b'{"labels": [["a.png", 0], ["b.png", 1]]}'


def seeds() -> list[Tree]:
    """Return one of each kind."""
    kinds = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "ppm": "PPM", "gif": "GIF"}
    table = pa.table({"image": [{"bytes": image_file(seed=i), "path": "a.png"} for i in range(3)], "label": [0, 1, -1]})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    broden = b"image,split,ih,iw,sh,sw,color,object\na.png,train,24,24,24,24,1,a_map.png\n"
    labels = b"number,name,category\n1,sky,object(1)\n2,red,color(2)\n"
    zipped = packed({"a.png": image_file(), "b.png": image_file(seed=1), "dataset.json": CLASSES})
    return [
        *({f"dataset/a.{end}": image_file(kind)} for end, kind in kinds.items()),
        {"dataset/a.png": image_file(), "dataset/b.png": image_file(), "dataset/dataset.json": CLASSES},
        {
            "dataset/images/a.png": image_file(),
            "dataset/labels/object/a.png": index_map(),
            "dataset/vocabulary.json": WORDS,
        },
        {"dataset": zipped},
        {"dataset": parquet.getvalue()},
        {"dataset/train-00000-of-00001.parquet": parquet.getvalue()},
        {
            "dataset/index.csv": broden,
            "dataset/label.csv": labels,
            "dataset/images/a.png": image_file(),
            "dataset/images/a_map.png": image_file(seed=2),
        },
    ]


def read(root: Path) -> None:
    """Open it and look at three images and their labels."""
    from ganatomy.datasets import open_images
    from ganatomy.datasets.protocol import CropSpec

    found = open_images(str(root / "dataset"))
    numbers = found.sample_indices(range(1), 0)
    frame = CropSpec((16, 16), 1.0)
    found.images(numbers, frame)
    found.labels(numbers, frame)
    found.class_ids(numbers)
