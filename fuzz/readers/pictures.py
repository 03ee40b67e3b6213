"""Sets of images: folders with label maps or classes, zips, Parquet, Broden."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from grown import index_map, picture
from mutations import Tree, packed

WORDS = b'[["nothing", "nothing"], ["sky", "object"]]'
CLASSES = b'{"labels": [["a.png", 0], ["b.png", 1]]}'


def seeds() -> list[Tree]:
    """Return one of each kind."""
    kinds = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "ppm": "PPM", "gif": "GIF"}
    table = pa.table({"image": [{"bytes": picture(seed=i), "path": "a.png"} for i in range(3)], "label": [0, 1, -1]})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    broden = b"image,split,ih,iw,sh,sw,color,object\na.png,train,24,24,24,24,1,a_map.png\n"
    labels = b"number,name,category\n1,sky,object(1)\n2,red,color(2)\n"
    zipped = packed({"00/a.png": picture(), "00/b.png": picture(seed=1), "dataset.json": CLASSES})
    return [
        *({f"pictures/a.{end}": picture(kind)} for end, kind in kinds.items()),
        {"pictures/a.png": picture(), "pictures/b.png": picture(), "pictures/dataset.json": CLASSES},
        {
            "pictures/images/a.png": picture(),
            "pictures/labels/object/a.png": index_map(),
            "pictures/vocabulary.json": WORDS,
        },
        {"pictures": zipped},
        {"pictures": parquet.getvalue()},
        {"pictures/train-00000-of-00001.parquet": parquet.getvalue()},
        {
            "pictures/index.csv": broden,
            "pictures/label.csv": labels,
            "pictures/images/a.png": picture(),
            "pictures/images/a_map.png": picture(seed=2),
        },
    ]


def read(root: Path) -> None:
    """Open it and look at three images and their labels."""
    from ganatomy.datasets import open_images
    from ganatomy.datasets.protocol import CropSpec

    found = open_images(str(root / "pictures"))
    numbers = found.sample_indices(range(1), 0)
    frame = CropSpec((16, 16), 1.0)
    found.images(numbers, frame)
    found.labels(numbers, frame)
    found.class_ids(numbers)
