"""`python -m offhook.domain.catalogue > docs/reference/events.md` writes the reference page anew."""

from __future__ import annotations

import sys

from offhook.domain.catalogue.page import reference_page

sys.stdout.write(reference_page())
