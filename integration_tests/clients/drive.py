"""Does with PyAirbyte what a job asks for; runs on the client's own environment, as a program.

Usage: drive.py JOB RESULT, two JSON files. A job:

    destination   the executable of the destination; or `image`, its container image, which is run in the machine's network
    config        its configuration
    source        the executable of source-faker
    steps         what to do, one after the other: {"do": "check"} or {"do": "write", "strategy": …, "source_config": …,
                  "cache": whether the records go through the default cache, "sent": the file that the destination's
                  executable is to copy its input to}

The result is a list with one entry for each step: `error`, the text of PyAirbyte's exception or null, and `processed`,
what PyAirbyte believes to have sent.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import airbyte as ab
from airbyte import exceptions as exc
from airbyte.strategies import WriteStrategy

Json = dict[str, Any]


def write(destination: ab.Destination, source: ab.Source, step: Json) -> int:
    """One sync; the state goes where PyAirbyte keeps it by default."""
    os.environ["SENT"] = step["sent"]
    source.set_config(step["source_config"], validate=False)
    strategy = WriteStrategy(step["strategy"])
    if step["cache"]:
        return destination.write(source, streams="*", write_strategy=strategy).processed_records
    return destination.write(source, streams="*", cache=False, write_strategy=strategy).processed_records


def take(destination: ab.Destination, source: ab.Source, step: Json) -> Json:
    """One step, and what came of it."""
    try:
        if step["do"] == "check":
            destination.check()
            return {"error": None, "processed": None}
        return {"error": None, "processed": write(destination, source, step)}
    except exc.PyAirbyteError as error:
        return {"error": str(error), "processed": None}


def main() -> None:
    """Do the job, with one source for all steps: it is asked only once what it has."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    how = (
        {"docker_image": job["image"], "use_host_network": True}
        if "image" in job
        else {"local_executable": Path(job["destination"])}
    )
    destination = ab.get_destination("destination-qdrant", config=job["config"], **how)
    source = ab.get_source("source-faker", config={}, local_executable=Path(job["source"]))
    result = [take(destination, source, step) for step in job["steps"]]
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
