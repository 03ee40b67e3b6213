"""``python -m ganatomy`` is ``ganatomy``."""

import sys

from ganatomy.cli import main

sys.exit(main())
