"""Studies at URLs: everything sees a directory, a working copy; what is finished in it is sent, whole or not at all.

``s3://bucket/runs/church`` has its copy in ``CACHE/studies/s3/bucket/runs/church``, where CACHE is the cache directory
(GANATOMY_CACHE). The way back is as plain, so the neighbours of a study, ``STUDY-causal/…``, are next to its URL, too.
"""

from ganatomy.remote.files import download, listdir, listed, open_mirror, pull, upload, write_text
from ganatomy.remote.paths import display_path, local_path, url_of

__all__ = [
    "display_path",
    "download",
    "listdir",
    "listed",
    "local_path",
    "open_mirror",
    "pull",
    "upload",
    "url_of",
    "write_text",
]
