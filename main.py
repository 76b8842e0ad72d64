"""`python main.py spec|check|write`: the console script `destination-qdrant` under the name old images call."""

from __future__ import annotations

from destination_qdrant.run import console

if __name__ == "__main__":
    console()
