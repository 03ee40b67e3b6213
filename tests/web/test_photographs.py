"""Photographs in the studio: opened, inverted, painted on; what is no image is refused in one line."""

import io
import pickle
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganatomy.web import Painter
from ganatomy.web.photographs import FIRST

BASE = "/api/studies/planted"


def file_of(image: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def opened(client: TestClient, content: bytes) -> dict[str, Any]:
    state = client.post(f"{BASE}/photographs", content=content).json()
    until = time.monotonic() + 60
    while not state["finished"] and state["reason"] is None and time.monotonic() < until:
        time.sleep(0.02)
        state = client.get(f"{BASE}/photographs/{state['id']}").json()
    found: dict[str, Any] = state
    return found


@pytest.mark.slow
def test_a_photograph_is_painted_on_as_any_image(client: TestClient, painter: Painter) -> None:
    own = painter.image(5, 0)
    state = opened(client, file_of(own))
    assert (state["reason"], state["share"], state["place"]) == (None, 1.0, "inside")
    assert state["id"] >= FIRST
    assert state["error"] < 0.02
    plain = client.get(f"{BASE}/images/{state['id']}.png").content
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(plain))), own), "without strokes it is the photograph"
    layer = painter.best_layer()
    brush = painter.brushes(layer)[0].concept
    stroke = {"action": "draw", "layer": layer, "concept": brush, "points": [[0.2, 0.2]], "radius": 0.1}
    painted = client.post(f"{BASE}/paint", json={"id": state["id"], "strokes": [stroke]}).content
    changed = (np.asarray(Image.open(io.BytesIO(painted))) != own).any(-1)
    assert 0 < changed.mean() < 0.5, "the rest stays the photograph's, to the bit"
    both = client.post(f"{BASE}/generate", json={"ids": [state["id"], 1], "strokes": [stroke]}).json()["images"]
    assert len(both) == 2
    clone = {"action": "clone", "source": {"id": state["id"], "at": [0.5, 0.5]}, "points": [[0.2, 0.2]], "radius": 0.1}
    assert client.post(f"{BASE}/paint", json={"id": 1, "strokes": [clone]}).status_code == 200


def test_where_a_photograph_is_among_the_images_of_the_model_is_told(client: TestClient) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 64, 3), dtype=np.uint8)
    state = opened(client, file_of(noise))
    assert state["reason"] is None
    assert state["place"] in ("at the edge", "far outside")
    assert state["distance"] > 1


@pytest.mark.parametrize(("mode", "size"), [("L", (64, 64)), ("RGBA", (64, 64)), ("P", (300, 20)), ("RGB", (1, 1))])
def test_grey_transparent_and_tiny_images_are_photographs(client: TestClient, mode: str, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    assert client.post(f"{BASE}/photographs", content=buffer.getvalue()).status_code == 200


def test_what_is_no_image_is_refused(client: TestClient) -> None:
    cut = file_of(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))[:5000]
    vector, pickled = b"<svg xmlns='http://www.w3.org/2000/svg'/>", pickle.dumps([1])
    bad = [(b"", "the body is empty"), (cut, "is truncated"), (bomb(), "pixels")]
    bad += [(content, "not a whole image") for content in (b"no image", vector, pickled, b"\0" * 999)]
    for content, reason in bad:
        answer = client.post(f"{BASE}/photographs", content=content)
        assert answer.status_code == 422
        assert reason in answer.json()["reason"]
        assert "\n" not in answer.json()["reason"]
    assert client.post(f"{BASE}/photographs", content=bytes(1 << 21)).status_code == 413
    others = str(opened(client, file_of(np.zeros((8, 8, 3), np.uint8)))["id"])
    unknown = client.get(f"{BASE}/photographs/{FIRST + 99}")
    assert unknown.status_code == 404
    assert others not in unknown.text, "nobody is told of the photographs of others"
    assert others not in client.get(f"{BASE}/images/{FIRST + 99}.png").text
    assert client.get(f"{BASE}/images/{FIRST + 99}.png").status_code == 404


def bomb() -> bytes:
    """A small PNG of 60,000 × 60,000 pixels."""
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(bytes(9))),
            (b"IEND", b""),
        )
    )
    return b"\x89PNG\r\n\x1a\n" + data
