"""`python main.py spec|check|write`: the console script `destination-qdrant` under the name old images call."""

from __future__ import annotations

import sys

from destination_qdrant.run import main

if __name__ == "__main__":
    sys.exit(main())
