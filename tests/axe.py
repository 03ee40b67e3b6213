"""What axe finds wrong with a page for people who see, hear or move otherwise."""

from pathlib import Path
from typing import Any

import pytest
from chromium import Page

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"


def violations(tab: Page, width: int, *, dark: bool = False) -> list[list[Any]]:
    """Return what is serious or critical at a width: rule, impact, and the first element; skip where axe is not."""
    if not AXE.is_file():
        pytest.skip("axe is not here; npm ci fetches it")
    tab.look(width, 900, dark=dark)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    tab.ask(AXE.read_text(encoding="utf-8") + "; true")
    found = tab.ask("axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))")
    return [row for row in found if row[1] in ("serious", "critical")]
