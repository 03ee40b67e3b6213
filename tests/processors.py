"""What image processors of transformers declare, also of those that need torchvision to be imported."""

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import image_utils


def declared(folder: str, kind: str) -> dict[str, Any]:
    """Return the class attributes of an image processor, read from its source.

    >>> declared("sam2", "Sam2ImageProcessor")["size"]
    {'height': 1024, 'width': 1024}
    """
    found = find_spec(f"transformers.models.{folder}")
    assert found is not None
    assert found.origin is not None
    source = (Path(found.origin).parent / f"image_processing_{folder}.py").read_text(encoding="utf-8")
    own = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == kind)
    assigned = [(node.targets[0], node.value) for node in own.body if isinstance(node, ast.Assign)]
    return {target.id: _value(node) for target, node in assigned if isinstance(target, ast.Name)}


def _value(node: ast.expr) -> Any:
    """Return a literal, or what a name of `transformers.image_utils` means."""
    if isinstance(node, ast.Name):
        return getattr(image_utils, node.id, None)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value), node.attr, None)
    return ast.literal_eval(node)
