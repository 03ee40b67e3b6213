"""``ganatomy doctor``: it must answer where other commands do not even start, so it prints with nothing but Python."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ganatomy.cli.verbs import print_json

if TYPE_CHECKING:
    from ganatomy.doctor import Finding


def doctor(arguments: Namespace) -> int:
    """Say what works here, what does not, and why; 0 if a dissection would run, else 1."""
    from ganatomy.doctor import examine

    found = examine()
    broken = [finding for finding in found if finding.state == "broken"]
    if arguments.json:
        print_json({"works": not broken, "findings": [asdict(finding) for finding in found]})
    else:
        sys.stdout.write(_page(found))
        names = ", ".join(finding.name for finding in broken)
        sys.stdout.write(f"\ndissection will not run here: {names}\n" if broken else "\ndissection runs here\n")
    return 1 if broken else 0


def _page(found: "Sequence[Finding]") -> str:
    """Return the findings by topic, one a line."""
    lines, width = [], max(len(finding.name) for finding in found)
    topic = ""
    for finding in found:
        if finding.topic != topic:
            topic = finding.topic
            lines.append(topic)
        mend = f"; {finding.mend}" if finding.mend else ""
        lines.append(f"  {finding.state:7}{finding.name:{width}}  {finding.told}{mend}")
    return "\n".join(lines) + "\n"
