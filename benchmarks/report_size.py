"""How large the report of a large study is, how long it takes to write, and how soon it shows its first cards.

    python benchmarks/report_size.py                       # 14 layers x 288 units, 1729 concepts, 1000 images
    python benchmarks/report_size.py --units 512 --out DIR # keeps the study and its report

The study is drawn at random (`large_study.py`), or one of your own is opened (`--study DIR`). Chromium, where there is
one, opens the page three times from disk. Printed are the least seconds until the first card with its images is
painted, a search, and scrolling through a thousand units, and the memory that the page then has. Cores that are busy
otherwise make all of these longer.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from large_study import LargeDissection, Size, large_study

from ganatomy import open_dissection
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.html import write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import PROGRAM, Page, chromium

WATCH = """
(function watch() {
  const shown = document.querySelector('#clearest img')?.naturalWidth > 0;
  requestAnimationFrame(shown ? () => { window.firstImage = performance.now(); } : watch);
})();
"""
SEARCH = """(async () => {
  const field = document.querySelector('#units [name=q]'), start = performance.now();
  field.value = 'word 0012';
  field.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const seconds = (performance.now() - start) / 1000;
  field.value = '';
  field.dispatchEvent(new Event('input', { bubbles: true }));
  return seconds;
})()"""
SCROLL = """(async () => {
  const frames = [];
  for (let last = performance.now(), i = 0; i < 100; i++) {
    window.scrollBy(0, 700);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return frames.sort((a, b) => a - b)[50] / 1000;
})()"""


def measured(size: Size, folder: Path) -> dict[str, Any]:
    """Return bytes and seconds of the report of a study of that size, which is made where there is none."""
    study = folder / "study"
    return written(LargeDissection.open(study) if study.exists() else large_study(study, size), folder / "report.html")


def written(found: Dissection, page: Path) -> dict[str, Any]:
    """Return bytes and seconds of the report of a study."""
    start = time.perf_counter()
    write_report(found, page)
    results: dict[str, Any] = {
        "units": len(found.units),
        "pairs": len(found.pairs),
        "megabytes": page.stat().st_size / 1e6,
        "seconds to write": time.perf_counter() - start,
    }
    return results | (opened(page) if PROGRAM else {})


def opened(page: Path) -> dict[str, float]:
    """Return how a page does in Chromium."""
    with chromium() as tab:
        tab.look(1440, 900)
        tab.at_start(WATCH)
        first = min(seconds_to_first(tab, page) for _ in range(3))
        tab.ask("location.hash = '#units'")
        tab.wait("document.querySelector('#units .card')")
        results = {
            "seconds to first cards": first,
            "seconds to search": tab.ask(SEARCH),
            "seconds a frame": tab.ask(SCROLL),
        }
        return results | {"megabytes of scripts": tab.ask("performance.memory.usedJSHeapSize") / 1e6}


def seconds_to_first(tab: Page, page: Path) -> float:
    tab.open("about:blank", ready="true")
    tab.open(page.as_uri(), ready="window.firstImage && document.body?.dataset.ready")
    return float(tab.ask("window.firstImage")) / 1000


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, help="where the study and its report are kept")
    parser.add_argument("--study", type=Path, help="a dissection to measure in place of one drawn at random")
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args(given))
    out, study, as_json = options.pop("out"), options.pop("study"), options.pop("json")
    with tempfile.TemporaryDirectory() as folder:
        place = out or Path(folder)
        results = written(open_dissection(study), place / "report.html") if study else measured(Size(**options), place)
    print(json.dumps(results) if as_json else "\n".join(f"{name:24} {value:.6g}" for name, value in results.items()))


if __name__ == "__main__":
    main()
