"""What is said of the repository, in the package's metadata and on the pages: nothing, until it has an address.

`repository` under ``[tool.ganatomy]`` in pyproject.toml is the address. What a page says only once there is one stands
in a comment, ``<!-- with an address: … -->``; in it ``{repository}`` is the address, ``{colab}`` the same in Colab.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

BRANCH = "main"
OPTIONAL = re.compile(r"<!-- with an address:\s+(.*?)\s*-->\n*", re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\((?!https?:|#)([^)\s]+)\)")


def address(root: Path) -> str:
    """Return the address of the repository, or "" while it has none; raises ValueError."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    found: str = settings["tool"]["ganatomy"]["repository"].rstrip("/")
    if found and not re.fullmatch(r"https://[^/\s]+/[^\s?#]+", found):
        raise ValueError(f"repository = {found!r} of [tool.ganatomy] is no https:// address of a repository")
    return found


def with_address(text: str, repository: str) -> str:
    """Return a page with its comments shown if there is an address, and without them if not."""
    github = repository.removeprefix("https://github.com/")  # the one place from which Colab opens notebooks
    colab = f"https://colab.research.google.com/github/{github}/blob/{BRANCH}" if github != repository else ""

    def shown(comment: re.Match[str]) -> str:
        if not repository or ("{colab}" in comment[1] and not colab):
            return ""
        end = comment[0][comment[0].index("-->") + 3 :]
        return comment[1].replace("{repository}", repository).replace("{colab}", colab) + end

    return OPTIONAL.sub(shown, text)


def notebook_source(repository: str) -> str:
    """Return what the notebooks' first cell installs where the package is missing: the address, else their clone."""
    return f"ganatomy[notebook,plot] @ git+{repository}" if repository else "..[notebook,plot]"


def readme(text: str, repository: str) -> str:
    """Return the README as an index shows it, where relative links lead nowhere."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({repository}/{kind}/{BRANCH}/{link[3]})"

    text = with_address(text, repository)
    return LINK.sub(absolute, text) if repository else text


class RepositoryHook(MetadataHookInterface):
    """Gives the wheel its long description and its links."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields that pyproject.toml calls dynamic."""
        root = Path(self.root)
        repository = address(root)
        text = readme((root / "README.md").read_text(encoding="utf-8"), repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        pages = {"Documentation": f"blob/{BRANCH}/docs/index.md", "Changelog": f"blob/{BRANCH}/CHANGELOG.md"}
        pages = {"Repository": "", "Issues": "issues", **pages}
        metadata["urls"] = {name: f"{repository}/{page}".rstrip("/") for name, page in pages.items() if repository}
