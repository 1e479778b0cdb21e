"""Time limits that docs/reliability.md promises. A test of such a limit takes it from here."""

from typing import Final

#: Seconds within which a change is shown once no fault lasts, whatever other pods of the node do.
SHOWN_WITHIN: Final = 10.0
