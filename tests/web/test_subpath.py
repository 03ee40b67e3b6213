"""The web app below a path, behind proxies that strip the path and proxies that do not."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from chromium import PROGRAM, chromium
from proxies import proxy, serving
from starlette.testclient import TestClient

from ganatomy.annotations import open_annotations
from ganatomy.core.errors import BadValue
from ganatomy.web import Painter, create_app

PREFIX = "/user/ann/proxy/8000"
WEB = Path(__file__).parents[2] / "src" / "ganatomy" / "web"
PAGES = ("", "docs", "paint/planted", "browse/planted", "annotate/planted")


@pytest.fixture(scope="module", params=["stripped", "stripped, and told", "passed on, and told"])
def base(request: pytest.FixtureRequest, painter: Painter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the app behind a proxy; it may or may not have been given its root path."""
    root_path = PREFIX if "told" in request.param else ""
    kept = open_annotations(tmp_path_factory.mktemp("kept") / "a.sqlite")
    app = create_app({"planted": painter}, token="secret", annotations=kept, root_path=root_path)
    with serving(app) as port, proxy(port, PREFIX, strips=request.param.startswith("stripped")) as address:
        yield address
    kept.close()


def test_all_links_of_all_pages_stay_below_the_path(base: str) -> None:
    with httpx2.Client(follow_redirects=True, timeout=120, headers={"accept": "text/html"}) as client:
        landed = client.get(f"{base}/paint/planted?token=secret")
        assert str(landed.url) == f"{base}/paint/planted"
        waiting, seen = [f"{base}/{page}" for page in PAGES], set[str]()
        while waiting:
            address = waiting.pop().partition("#")[0]
            if address in seen or address.startswith("data:"):
                continue
            seen.add(address)
            answer = client.get(address)
            assert answer.status_code == 200, address
            assert str(answer.url).startswith(f"{base}/")
            if "text/html" in answer.headers["content-type"] and "/reports/" not in address:
                links = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
                waiting += [urljoin(address, link.replace("&amp;", "&")) for link in links if link[0] != "#"]
            if "javascript" in answer.headers["content-type"]:
                waiting += [urljoin(address, link) for link in re.findall(r'from "([^"]+)"', answer.text)]
        assert {f"{base}/{page}" for page in PAGES} <= seen
        assert f"{base}/static/report/dom.js" in seen


def test_a_slash_too_many_or_too_few_is_put_right(base: str) -> None:
    with httpx2.Client(follow_redirects=True, timeout=120, headers={"authorization": "Bearer secret"}) as client:
        assert str(client.get(f"{base}/paint/planted/").url) == f"{base}/paint/planted"
        assert client.get(f"{base}/api/studies/").json()[0]["name"] == "planted"


def test_an_unknown_address_leads_home(base: str) -> None:
    headers = {"authorization": "Bearer secret", "accept": "text/html"}
    with httpx2.Client(timeout=120, headers=headers) as client:
        for address in (f"{base}/no/such/page", f"{base}/browse/other"):
            answer = client.get(address)
            assert answer.status_code == 404
            (link,) = re.findall(r'<a class="more" href="([^"]+)"', answer.text)
            assert urljoin(address, link) == f"{base}/"
        assert client.get(f"{base}/api/nothing").json()["reason"]


def test_the_root_path_itself_needs_its_slash(painter: Painter) -> None:
    app = create_app({"planted": painter}, root_path="/proxy/8000/")
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        assert client.get("/proxy/8000").headers["location"] == "8000/"
        assert client.get("/proxy/80001").status_code == 404
        assert client.get("/proxy/8000/openapi.json").json()["servers"] == [{"url": "/proxy/8000"}]


@pytest.mark.parametrize(("root_path", "path"), [("", "/"), ("/user/a%40b/proxy", "/user/a%40b/proxy")])
def test_the_cookie_goes_to_the_app_alone(painter: Painter, root_path: str, path: str) -> None:
    app = create_app({"planted": painter}, token="secret", root_path=root_path)
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        landed = client.get(f"{root_path}/docs?token=secret")
    assert landed.headers["location"] == "./docs"
    assert f"Path={path};" in landed.headers["set-cookie"]


@pytest.mark.parametrize("root_path", ["proxy", "/a//b", "/a?b", "/a;b", "/paint", "/api/x", "/a\nb", "http://a/b"])
def test_a_root_path_that_cannot_be_one_is_refused(root_path: str) -> None:
    with pytest.raises(BadValue, match="root path"):
        create_app({}, root_path=root_path)


def test_no_page_and_no_script_names_an_address_from_the_root() -> None:
    found = []
    for path in [*WEB.glob("static/*.js"), *WEB.glob("templates/*.html")]:
        text = path.read_text(encoding="utf-8")
        found += [f"{path.name}: {each}" for each in re.findall(r"[\"'`]/(?:static|api|paint|browse|docs)\b.*", text)]
    assert found == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the pages")
def test_pages_run_below_the_path(base: str) -> None:
    with chromium() as page:
        page.open(f"{base}/?token=secret", "document.readyState === 'complete' && location.search === ''")
        assert page.ask("location.href") == f"{base}/"
        for name, ready in (
            ("docs", "document.querySelector('#paths details')"),
            ("paint/planted", "document.querySelector('#brushes input')"),
            ("browse/planted", "document.body?.dataset.live"),
            ("annotate/planted", "document.body?.dataset.ready"),
        ):
            page.open(f"{base}/{name}", ready)
        assert page.errors == []
        asked = [url for url in page.requests if url.startswith("http")]
        assert len(asked) > 20
        assert [url for url in asked if not url.startswith(f"{base}/")] == []
