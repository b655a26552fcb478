"""`python -m redgreen`."""

from __future__ import annotations

import sys

from redgreen.cli import main

sys.exit(main())
