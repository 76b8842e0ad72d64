"""Write the specification that the connector emits into the file named by the first argument."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the installed console script, as the platform does, and keep the content of its SPEC message."""
    command = [str(Path(sys.executable).with_name("destination-qdrant")), "spec"]
    output = subprocess.run(  # noqa: S603 -- our own command
        command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    (spec,) = [message["spec"] for message in messages if message["type"] == "SPEC"]
    Path(sys.argv[1]).write_text(json.dumps(spec, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{sys.argv[1]} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
