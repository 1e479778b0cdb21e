"""Takes pictures of pages: `python -m tests.docs FOLDER [PAGE...]`, after `make docs`."""

import sys
from pathlib import Path

from tests.docs.browser import Browser
from tests.docs.site import SITE, WIDTHS


def main() -> None:
    """One picture for each page, width and colour scheme."""
    folder, pages = Path(sys.argv[1]), sys.argv[2:] or ["index.html"]
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for page in pages:
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    browser.resize(width)
                    browser.prefer(scheme)
                    browser.open(SITE / page)
                    file = folder / f"{Path(page).stem}-{width}-{scheme}.png"
                    browser.screenshot(file)
                    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
