"""A broken build: STATEs come back through the classes of Airbyte's CDK, which drop what they do not know."""

import orjson
from airbyte_cdk.models.airbyte_protocol_serializers import AirbyteMessageSerializer

from destination_qdrant.protocol import MessageWriter
from destination_qdrant.run import console

state = MessageWriter.state


def through_the_cdk(writer: MessageWriter, raw: bytes) -> None:
    """Read the line with the CDK, and write what it has understood."""
    message = AirbyteMessageSerializer.load(orjson.loads(raw))
    state(writer, orjson.dumps(AirbyteMessageSerializer.dump(message)))


MessageWriter.state = through_the_cdk  # type: ignore[method-assign]
console()
