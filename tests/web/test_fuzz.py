"""Whatever is sent, the answer is an image, JSON, or a refusal with a reason; never a fault, never a stuck worker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from starlette.testclient import TestClient

from ganatomy.annotations import open_annotations
from ganatomy.web import Limits, Painter, create_app

pytestmark = pytest.mark.slow
ASKED = 12
"""Requests for each call of the description."""


@pytest.fixture(scope="module")
def open_client(painter: Painter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    kept = open_annotations(tmp_path_factory.mktemp("fuzz") / "a.sqlite")
    limits = Limits(rate=1e9, burst=1e9)
    app = create_app({"planted": painter}, annotations=kept, limits=limits)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client
    kept.close()


CALLS = [(path, method) for path, calls in create_app({}).app.app.openapi()["paths"].items() for method in calls]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("path", "method"), CALLS)
def test_what_the_description_allows_and_what_it_does_not(
    open_client: TestClient, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(open_client.get("/openapi.json").json())

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=ASKED, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        if "study" in case.path_parameters:
            case.path_parameters["study"] = "planted"
        if "layer" in case.path_parameters and len(str(case.path_parameters["layer"])) % 2:
            case.path_parameters["layer"] = "layer2"
        sent = case.as_transport_kwargs(base_url="http://localhost")
        sent.pop("cookies", None)
        if isinstance(sent.get("data"), bytes | str):
            sent["content"] = sent.pop("data")
        answer = open_client.request(**sent)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.json()["reason"]

    with contextlib.suppress(Unsatisfiable):  # some calls have nothing that could be wrong
        ask()
    assert open_client.get("/api/health").status_code == 200


BODIES = {
    "empty": b"",
    "no JSON": b"\x00\xff{",
    "deep": b"[" * 50_000,
    "a list": b"[]",
    "a number": b"1e999",
    "not finite": b'{"id": 1, "strokes": [{"action": "draw", "layer": "layer2", "units": [1], "multiple": NaN}]}',
    "huge": b'{"id": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"id": 1, "strokes": [{"action": "remove", "layer": "\\ud800", "units": [1]}]}',
    "null byte": b'{"id": 1, "strokes": [{"action": "remove", "layer": "layer2\\u0000", "units": [1]}]}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["paint", "changes", "edits", "active", "labels", "pairs"])
def test_bodies_of_any_kind_are_refused(open_client: TestClient, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = open_client.post(f"/api/studies/planted/{path}", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["reason"]


def test_the_models_still_answer(open_client: TestClient) -> None:
    assert open_client.get("/api/studies/planted/images/1.png").status_code == 200


def test_the_folder_of_the_study_is_as_it_was(studied: Path) -> None:
    assert not [path for path in studied.rglob("*") if path.suffix == ".tmp"]
