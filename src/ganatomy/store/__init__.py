"""Studies at URLs: everything sees a directory, a working copy; what is finished in it is sent, whole or not at all.

``s3://bucket/runs/church`` has its copy in ``CACHE/studies/s3/bucket/runs/church``, where CACHE is the cache directory
(GANATOMY_CACHE). The way back is as plain, so the neighbours of a study, ``STUDY-causal/…``, lie beside its URL, too.
"""

from ganatomy.store.loose import bring, brought, entries, open_copy, sent, write_text
from ganatomy.store.places import address, named, place

__all__ = ["address", "bring", "brought", "entries", "named", "open_copy", "place", "sent", "write_text"]
