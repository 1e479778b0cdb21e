"""`python -m testbed.recipes FOLDER` writes the Go programs of docs/ there, for hack/builds to build."""

import sys
from pathlib import Path

from testbed.documents import files

if __name__ == "__main__":
    for name, text in files().items():
        if name.endswith(".go"):
            Path(sys.argv[1], name).write_text(text)
