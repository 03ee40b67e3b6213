"""Questions to people over HTTP: blind, in everybody's own order, each answer kept."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganatomy.annotations import open_annotations
from ganatomy.web import Painter, create_app

BASE = "/api/studies/planted"


@pytest.fixture
def asking(painter: Painter, tmp_path: Path) -> Iterator[TestClient]:
    kept = open_annotations(tmp_path / "a.sqlite")
    with TestClient(create_app({"planted": painter}, annotations=kept), base_url="http://localhost") as client:
        yield client
    kept.close()


def decoded(text: str) -> np.ndarray:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_everybody_is_asked_every_unit_once(asking: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    units = painter.source.shape(layer).units
    seen = []
    while (task := asking.get(f"{BASE}/layers/{layer}/tasks/labels", params={"rater": "ann"}).json())[
        "unit"
    ] is not None:
        assert task["done"] == len(seen)
        seen.append(task["unit"])
        said = {"layer": layer, "unit": task["unit"], "rater": "ann", "words": "tree"}
        assert asking.post(f"{BASE}/labels", json=said).status_code == 201
    assert sorted(seen) == list(range(units))
    assert asking.get(f"{BASE}/agreement").json()["labelled"] == units
    assert asking.get(f"{BASE}/layers/{layer}/tasks/labels", params={"rater": "bob"}).json()["unit"] is not None


def test_the_order_of_a_pair_is_blind_and_the_answer_is_understood(asking: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    unit = painter.brushes(layer)[0].units[0]
    lefts = []
    for number in range(12):
        pair = asking.post(f"{BASE}/pairs", json={"layer": layer, "rater": "ann", "units": [unit]}).json()
        assert pair["image"] == number
        left, right = decoded(pair["left"]), decoded(pair["right"])
        plain = painter.image(number, 0)
        assert np.array_equal(plain, left) or np.array_equal(plain, right)
        edited_left = not np.array_equal(plain, left)
        lefts.append(edited_left)
        body = {"comparison": pair["comparison"], "image": number, "rater": "ann"}
        asking.post(f"{BASE}/preferences", json={**body, "choice": "left" if edited_left else "right"})
    (told,) = asking.get(f"{BASE}/preferences").json()
    different = [n for n in range(12) if not np.array_equal(painter.image(n, 0), painter.paint(n, 0, []))]
    assert told["answers"] == 12
    assert told["share"] >= sum(lefts) / 12 if different else told["share"] > 0
    assert 0 <= told["low"] <= told["share"] <= told["high"] <= 1


def test_without_flags_there_is_nothing_to_compare(asking: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    answer = asking.post(f"{BASE}/pairs", json={"layer": layer, "rater": "ann"})
    assert answer.status_code == 422
    assert "flagged" in answer.json()["reason"]
    asking.post(f"{BASE}/flags", json={"layer": layer, "unit": 1, "rater": "bob", "artifact": True})
    pair = asking.post(f"{BASE}/pairs", json={"layer": layer, "rater": "ann"}).json()
    assert pair["comparison"] == f"without {layer}/1"


def test_a_unit_tells_what_people_said_of_it(asking: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    subject = {"layer": layer, "unit": 1}
    asking.post(f"{BASE}/labels", json={**subject, "rater": "ann", "words": "Tree"})
    asking.post(f"{BASE}/flags", json={**subject, "rater": "ann", "artifact": True})
    asking.post(f"{BASE}/flags", json={**subject, "rater": "bob", "artifact": False})
    told = asking.get(f"{BASE}/layers/{layer}/units/1/annotations").json()
    assert told == {"labels": [["ann", "tree"]], "flags": [["ann", True], ["bob", False]]}
    assert asking.get(f"{BASE}/layers/{layer}/units/0/annotations").json() == {"labels": [], "flags": []}
    assert asking.get(f"{BASE}/layers/{layer}/units/9999/annotations").status_code == 404


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_answers_are_exported(asking: TestClient, painter: Painter, kind: str) -> None:
    layer = painter.best_layer()
    asking.post(f"{BASE}/flags", json={"layer": layer, "unit": 1, "rater": "bob", "artifact": True})
    content = io.BytesIO(asking.get(f"{BASE}/annotations/flags.{kind}").content)
    table = pd.read_csv(content) if kind == "csv" else pd.read_parquet(content)
    assert table.unit.tolist() == [1]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("labels", {"layer": "nope", "unit": 1, "rater": "a", "words": "tree"}, 404),
        ("labels", {"layer": None, "unit": 99999, "rater": "a", "words": "tree"}, 404),
        ("labels", {"layer": None, "unit": 1, "rater": "a", "words": "a b c"}, 422),
        ("labels", {"layer": None, "unit": 1, "rater": "", "words": "tree"}, 422),
        ("preferences", {"comparison": "x", "image": 1, "rater": "a", "choice": "both"}, 422),
    ],
)
def test_bad_answers_are_told_why(asking: TestClient, painter: Painter, path: str, body: dict, status: int) -> None:
    if body.get("layer", "") is None:
        body = {**body, "layer": painter.best_layer()}
    answer = asking.post(f"{BASE}/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["reason"]


def test_a_server_without_a_database_says_so(client: TestClient, painter: Painter) -> None:
    body = {"layer": painter.best_layer(), "unit": 1, "rater": "a", "words": "tree"}
    answer = client.post(f"{BASE}/labels", json=body)
    assert answer.status_code == 422
    assert "--annotations" in answer.json()["reason"]
