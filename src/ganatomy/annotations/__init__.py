"""What people say of units and images: kept in a database, exported as tables, compared with the dissection."""

from ganatomy.annotations.agreement import Agreement, agreement, artifact_units, preference
from ganatomy.annotations.reliability import Reliability, reliability
from ganatomy.annotations.store import Annotations, open_annotations

__all__ = [
    "Agreement",
    "Annotations",
    "Reliability",
    "agreement",
    "artifact_units",
    "open_annotations",
    "preference",
    "reliability",
]
