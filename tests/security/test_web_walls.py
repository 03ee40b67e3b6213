"""The web app, attacked from another page: what it reads, what it writes, what it lets a browser do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_dissections import made_dissection
from mistakes import mistake
from starlette.testclient import TestClient

import ganatomy
from ganatomy.annotations import Annotations, open_annotations
from ganatomy.cli.serve import is_this_machine
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.web import Painter, create_app

SAID = {"layer": "layer2", "unit": 1, "rater": "mallory", "words": "=cmd()"}


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    directory = tmp_path_factory.mktemp("walls") / "planted"
    ganatomy.dissect("planted:", segmenter="planted:", images=8, calibration=4, out=directory)
    return Painter(open_source(directory))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Annotations]:
    found = open_annotations(tmp_path / "a.sqlite")
    yield found
    found.close()


@pytest.fixture
def client(painter: Painter, kept: Annotations) -> Iterator[TestClient]:
    app = create_app({"planted": painter}, annotations=kept)
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},  # a sandboxed frame, or a page on the disk
        {"origin": "http://localhost:9999"},  # another server of this machine
        {"origin": "http://localhost:8000.evil.example"},
        {"host": "evil.example"},  # a name that has come to mean this machine
        {"host": "localhost.evil.example:8000"},
        {"host": "127.0.0.1.nip.example"},
        {"host": ""},
    ],
)
def test_another_page_writes_nothing(client: TestClient, kept: Annotations, headers: dict[str, str]) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = client.post("/api/studies/planted/labels", json=SAID, headers={"content-type": kind, **headers})
        assert answer.status_code in (400, 403, 421)
    assert not len(kept.read("labels"))
    assert client.post("/api/studies/planted/labels", json=SAID).status_code == 201
    assert len(kept.read("labels")) == 1


@pytest.mark.parametrize(
    "path",
    ["/", "/paint/planted", "/browse/planted", "/annotate/planted", "/nothing", "/static/web.css", "/openapi.json"],
)
def test_every_answer_binds_the_browser(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy  # so scripts are those of this server
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert "http-equiv" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static//etc/passwd",
        "/static/..%5c..%5capp.py",
        "/static/report/%2e%2e/html.py",
        "/api/studies/..%2f..%2fetc/layers/layer2/units",
        "/api/studies/planted/layers/..%2f..%2fx/units",
        "/api/studies/planted/annotations/..%2flabels.csv",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


def test_what_people_say_is_exported_as_words(client: TestClient) -> None:
    client.post("/api/studies/planted/labels", json=SAID)
    answer = client.get("/api/studies/planted/annotations/labels.csv")
    assert ",'=cmd()" in answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="labels.csv"'


def test_names_are_text_on_every_page(painter: Painter, tmp_path: Path) -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    with TestClient(create_app({hostile: painter}), base_url="http://localhost") as client:
        for path in ("/", f"/paint/{hostile}", f"/browse/{hostile}", f"/annotate/{hostile}"):
            page = client.get(path).text
            assert "<img src=x" not in page
            assert "img src=x" in page


def test_only_this_machine_unless_asked_for() -> None:
    from ganatomy.cli.arguments import build

    assert build().parse_args(["serve", "x"]).host == "127.0.0.1"
    assert not any(map(is_this_machine, ("0.0.0.0", "::", "192.168.0.1", "studio.example")))  # noqa: S104


def test_a_study_that_names_code_is_not_served(tmp_path: Path) -> None:
    made_dissection(tmp_path / "study", {"layer1": ["tree"]}, generator="torch:os:system")
    with mistake("bad-value", "torch:os:system", f"ganatomy trust {tmp_path / 'study'}"):
        Painter(open_source(tmp_path / "study"))


def test_pages_of_other_sites_ask_nothing_of_the_models(client: TestClient) -> None:
    image = "/api/studies/planted/images/0.png"
    other = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get(image, headers=other).status_code == 403
    assert client.get(image, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert client.get("/", headers=other | {"sec-fetch-mode": "navigate"}).status_code == 200  # a link that is followed


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/studies/planted/images/0.png", "/nothing"])
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_a_database_that_is_gone_may_be_asked_again_later(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").unlink()
    answer = client.post("/api/studies/planted/labels", json=SAID)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "store-unavailable"
