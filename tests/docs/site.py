"""Where `make docs` puts the site, and the widths at which it is looked at."""

from typing import Final

from tests.cluster.tools import REPOSITORY

SITE: Final = REPOSITORY / "dist/docs"
#: Of a small laptop's window, and of a phone.
WIDTHS: Final = (1280, 390)
