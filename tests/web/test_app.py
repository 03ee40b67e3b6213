"""The application over HTTP: what it answers, and what it refuses."""

import asyncio
import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from mistakes import assert_facts
from PIL import Image
from starlette.testclient import TestClient

import ganatomy
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.interventions import edits_from_json
from ganatomy.web import Limits, Painter, create_app

BASE = "/api/studies/planted"
STROKE = {"action": "remove", "layer": "layer2", "units": [1]}


def decoded(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


def some_stroke(painter: Painter) -> dict[str, Any]:
    layer = painter.best_layer()
    return {"action": "remove", "layer": layer, "concept": painter.brushes(layer)[0].concept, "top": 2}


def test_it_says_that_it_is_alive_and_what_it_serves(client: TestClient) -> None:
    assert client.get("/api/health").json() == {"status": "ok"}
    (study,) = client.get("/api/studies").json()
    assert study["name"] == "planted"
    assert study["layer"] in [layer["name"] for layer in study["layers"]]


def test_a_stroke_changes_the_image(client: TestClient, painter: Painter) -> None:
    plain = decoded(client.get(f"{BASE}/images/3.png").content)
    assert np.array_equal(plain, painter.image(3, 0))
    painted = client.post(f"{BASE}/paint", json={"id": 3, "strokes": [some_stroke(painter)]})
    assert painted.headers["content-type"] == "image/png"
    assert 0 <= float(painted.headers["server-timing"].removeprefix("queue;dur=")) < 1000
    assert not np.array_equal(decoded(painted.content), plain)


def test_edits_are_a_file_that_the_command_line_applies(client: TestClient, painter: Painter) -> None:
    answer = client.post(f"{BASE}/edits", json={"id": 3, "strokes": [some_stroke(painter)]})
    generator = painter.source.models.generator
    (edit,) = edits_from_json(answer.text, generator.layers, generator.fingerprint)
    assert edit.layer == painter.best_layer()


def test_edits_draw_what_their_strokes_do(client: TestClient, painter: Painter) -> None:
    strokes = [{**some_stroke(painter), "points": [[0.3, 0.3], [0.6, 0.5]]}]
    edits = json.loads(client.post(f"{BASE}/edits", json={"id": 3, "strokes": strokes}).text)
    given = {"ids": [3, 4]}
    by_edits = client.post(f"{BASE}/generate", json={**given, "edits": edits}).json()
    assert by_edits == client.post(f"{BASE}/generate", json={**given, "strokes": strokes}).json()
    assert by_edits != client.post(f"{BASE}/generate", json=given).json()


def test_units_are_ranked_for_a_concept(client: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    brush = painter.brushes(layer)[0]
    asked = {"concept": brush.concept, "by": "iou", "top": 3}
    told = client.get(f"{BASE}/layers/{layer}/ranking", params=asked).json()
    assert told["units"] == brush.units[:3]
    assert told["ious"][0] == pytest.approx(brush.iou)
    assert client.get(f"{BASE}/layers/{layer}/ranking", params={**asked, "by": "ace"}).status_code == 422


def test_features_are_the_generators_own(client: TestClient, painter: Painter) -> None:
    layer = painter.best_layer()
    generator = painter.source.models.generator
    r = generator.observe(generator.latents(range(5, 6), 0), [layer]).features[layer][0]
    body = {"id": 5, "layer": layer, "units": [2, 0], "maps": True}
    told = client.post(f"{BASE}/features", json=body).json()
    assert np.allclose(told["maps"], r[[2, 0]], atol=1e-5)
    assert np.allclose(told["means"], r[[2, 0]].mean((1, 2)), atol=1e-5)
    corner = client.post(f"{BASE}/features", json={**body, "maps": False, "points": [[0.01, 0.01]]}).json()
    assert corner["maps"] is None
    assert np.allclose(corner["means"], r[[2, 0], 0, 0], atol=1e-5)
    assert np.allclose(corner["greatest"], r[[2, 0], 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "fact"),
    [
        ("/paint", {"id": -1}, 422, "body.id"),
        ("/paint", {"id": 1, "strokes": [{}]}, 422, "strokes.0"),
        ("/paint", {"id": 1, "strokes": [{"action": "remove", "layer": "nope", "units": [1]}]}, 404, "nope"),
        ("/paint", {"id": 1, "what": 1}, 422, "what"),
        ("/generate", {"ids": list(range(1000))}, 422, "ids"),
        ("/generate", {"ids": [1], "edits": {"format": 1}}, 422, "generator"),
        ("/generate", {"ids": [1], "edits": {}, "strokes": [STROKE]}, 422, "strokes"),
        ("/paint", {"id": 1, "strokes": [{**STROKE, "points": [[0, 0]] * 500}] * 21}, 422, "10500 points"),
        ("/features", {"id": 1, "layer": "layer2", "units": [99999]}, 404, "99999"),
        ("/features", {"id": 1, "layer": "layer2", "units": [0] * 4096, "maps": True}, 422, "4096 maps"),
        ("/nothing", {}, 404, "no page has the address"),
    ],
)
def test_bad_requests_are_told_why(client: TestClient, path: str, body: Any, status: int, fact: str) -> None:
    answer = client.post(BASE + path, json=body)
    assert answer.status_code == status
    assert_facts(answer.json()["reason"], fact)


def test_a_study_that_is_not_served_is_named(client: TestClient) -> None:
    answer = client.get("/api/studies/other/images/1.png")
    assert answer.status_code == 404
    assert "other" in answer.json()["reason"]


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/..%2f..%2fapp.py", "/static/report/../../web/app.py"])
def test_no_file_outside_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_other_sites_and_names_are_refused(client: TestClient) -> None:
    assert client.get("/api/health", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/health", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/health", headers={"origin": "http://localhost"}).status_code == 200
    for nonsense in ({"host": "[::1"}, {"host": "localhost:99999999999"}, {"origin": "http://["}, {"origin": "null"}):
        assert client.get("/api/health", headers=nonsense).status_code in (200, 403, 421)


def test_tokens_cannot_be_tried_out(painter: Painter) -> None:
    app = create_app({"planted": painter}, token="secret", limits=Limits(rate=1, burst=3))
    with TestClient(app, base_url="http://studio.example") as client:
        codes = [client.get("/api/health?token=guess").status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]


def test_requests_that_pass_count_less(painter: Painter) -> None:
    limits = Limits(rate=1e-6, burst=3, passing=0.25)
    with TestClient(create_app({"planted": painter}, limits=limits), base_url="http://localhost") as client:
        codes = [client.get("/api/health").status_code for _ in range(10)]
    assert codes == [200] * 9 + [429]


def test_a_body_that_never_ends_is_not_waited_for(painter: Painter) -> None:
    app = create_app({"planted": painter}, limits=Limits(seconds=0.05))
    sent: list[dict[str, Any]] = []

    async def slow() -> dict[str, Any]:
        if len(sent) == 0:
            await asyncio.sleep(0.5)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"10")]
    scope = {"type": "http", "method": "POST", "path": f"{BASE}/paint", "query_string": b"", "headers": headers}
    asyncio.run(app({**scope, "root_path": "", "scheme": "http"}, slow, send))
    assert sent[0]["status"] == 408


def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(create_app({})({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent[0]["type"] == "websocket.close"


def test_large_bodies_are_refused_whatever_their_header_says(painter: Painter) -> None:
    with TestClient(create_app({"planted": painter}, limits=Limits(body=1000)), base_url="http://localhost") as client:
        assert client.post(f"{BASE}/paint", content=b"x" * 2000).status_code == 413
        parts = (b"x" * 100 for _ in range(20))
        assert client.post(f"{BASE}/paint", content=parts).status_code == 413


def test_a_token_is_needed_where_others_can_reach_it(painter: Painter) -> None:
    app = create_app({"planted": painter}, token="secret")
    with TestClient(app, base_url="http://studio.example") as client:
        assert client.get("/api/health").status_code == 401
        assert client.get("/api/health?token=wrong").status_code == 401
        assert client.get("/api/health", headers={"authorization": "Bearer secret"}).status_code == 200
        landed = client.get("/?token=secret", follow_redirects=False)
        assert landed.status_code == 303
        assert "HttpOnly" in landed.headers["set-cookie"]
        assert "secret" not in landed.headers["set-cookie"]
        cookie = landed.headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        others = {"cookie": f'{cookie}; theirs={{"not": "ours"}}'}
        assert client.get("/api/health", headers=others).status_code == 200
        assert client.get("/api/health", headers={"cookie": "ganatomy-token=secret"}).status_code == 401


def test_the_description_is_of_our_own_and_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://localhost", "")
    assert "https://" not in page
    assert client.get("/openapi.json").json()["info"]["title"] == "ganatomy"


def test_the_browser_of_units_is_the_report_whose_pieces_are_served(client: TestClient, painter: Painter) -> None:
    page = client.get("/browse/planted").text
    pieces = painter.report["pieces"]
    assert {"units-pack", "sheet-0", "regions-0"} <= set(pieces)
    for name, text in pieces.items():
        assert text not in page
        assert client.get(f"/browse/planted/pieces/{name}").content == base64.b64decode(text)
    missing = client.get("/browse/planted/pieces/sheet-9")
    assert missing.status_code == 404
    assert "unknown piece 'sheet-9'" in missing.json()["reason"]
    assert missing.json()["code"] == "unknown-name"


def test_studies_are_counted_and_their_reports_listed(client: TestClient, painter: Painter) -> None:
    (study,) = client.get("/api/studies").json()
    dissection = painter.source.dissection
    assert (study["units"], study["matched"]) == (len(dissection.units), int(dissection.units.matched.sum()))
    matched = dissection.pairs[dissection.pairs.matched]
    assert study["concepts"] == len(matched[["concept", "category"]].drop_duplicates())
    assert client.get(f"{BASE}/reports").json() == []
    assert client.get("/reports/planted/planted/study.json").status_code == 404


def test_reports_are_shown_where_their_scripts_reach_nothing(painter: Painter, tmp_path: Path) -> None:
    copied = tmp_path / "a study"
    shutil.copytree(painter.source.dissection.study.directory, copied)
    ganatomy.write_report(ganatomy.open_dissection(copied), copied / "report.html")
    with TestClient(create_app({"a": Painter(open_source(copied))}), base_url="http://localhost") as client:
        (report,) = client.get("/api/studies/a/reports").json()
        assert report["path"] == "a study/report.html"
        answer = client.get(f"/reports/a/{report['address']}")
        assert answer.text == (copied / "report.html").read_text(encoding="utf-8")
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy
        assert f'href="./reports/a/{report["address"]}"' in client.get("/").text
        index = client.get("/reports/a/a%20study/index.html", follow_redirects=False)
        assert urljoin("/reports/a/a%20study/index.html", index.headers["location"]) == "/"
        for path in ("study.json", "a study/study.json", "../report.html", "..%2f..%2fetc%2fpasswd"):
            assert client.get(f"/reports/a/{path}").status_code == 404


def test_a_person_who_needs_the_token_gets_a_page(painter: Painter) -> None:
    with TestClient(create_app({"planted": painter}, token="secret"), base_url="http://studio.example") as client:
        answer = client.get("/paint/planted", headers={"accept": "text/html"})
        assert answer.status_code == 401
        assert '<input type="text" name="token"' in answer.text
        assert client.get("/static/web.css").status_code == 200
        assert client.get("/api/studies", headers={"accept": "text/html"}).json()["reason"]


def test_a_unit_is_shown_by_as_many_images_as_wanted(client: TestClient) -> None:
    address = f"{BASE}/layers/layer2/units/1/card.png"
    one, rows, whole = (decoded(client.get(address + end).content) for end in ("?images=1", "?columns=3", ""))
    assert np.array_equal(one, whole[:, : one.shape[1]])
    assert rows.shape[1] < whole.shape[1]
    assert rows.shape[0] >= 2 * one.shape[0]


def test_the_page_to_paint_shows_images_of_the_study_before_the_models_answer(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganatomy.web.model_thread.ModelThread.run", None)  # whoever asks it fails
    app = create_app({"planted": painter})
    text = TestClient(app, base_url="http://localhost").get("/paint/planted").text  # no warm-up: it is not started
    assert "Opening the generator…" in text
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    kept = painter.source.dissection.images(8)
    assert len(shown) == 1 + len(kept)
    for packed, image in zip(shown[1:], kept, strict=True):
        assert np.array_equal(decoded(base64.b64decode(packed)), image)
