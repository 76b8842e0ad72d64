"""What the parts of the configuration are made of: kinds of values, and what is refused of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from . import problems

#: Qdrant's own limit for the size of a dense vector.
MAX_DIMENSIONS = 65_536

#: What Airbyte shows instead of a stored secret, and sends back when it could not restore it.
_MASK = "**********"

_T = TypeVar("_T", str, SecretStr)


# ----------------------------------------------------------------------------------------------------------
# Checks of single values. Their texts follow the name of the field, and never hold the value.


def problem(text: str) -> PydanticCustomError:
    """What is wrong with a field, said after its name."""
    return PydanticCustomError(problems.OWN_ERROR, "{text}", {"text": text})


def stripped(value: object) -> object:
    """Text without the blanks that copying leaves around it."""
    return value.strip() if isinstance(value, str) else value


def filled(value: _T) -> _T:
    """Text that is not empty, and valid Unicode."""
    text = value if isinstance(value, str) else value.get_secret_value()
    if not text.strip():
        raise problem("must not be empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise problem("holds a character that is not valid Unicode")
    return value


def sendable(value: SecretStr) -> SecretStr:
    """A key travels in a header, which holds printable ASCII only; none of the services has keys with blanks."""
    if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
        raise problem("holds a blank, a line break or another character that no key can have; copy the key again")
    return value


def unmasked(value: object) -> object:
    """A secret itself, and not what is shown in its place."""
    if stripped(value) == _MASK:
        raise problem("is the mask that Airbyte shows instead of the value; type the value again")
    return value


def _not_boolean(value: object) -> object:
    """Pydantic reads true as the number 1."""
    if isinstance(value, bool):
        raise problem("must be a whole number, not true or false")
    return value


def _possible_dimensions(value: int) -> int:
    if not 1 <= value <= MAX_DIMENSIONS:
        raise problem(f"must be between 1 and {MAX_DIMENSIONS}")
    return value


def blank_is_none(value: object) -> object:
    """An empty field of the form counts as not given."""
    return None if isinstance(value, str) and not value.strip() else value


WHOLE = BeforeValidator(_not_boolean)
Integer = Annotated[int, WHOLE]
Dimensions = Annotated[Integer, AfterValidator(_possible_dimensions)]
ShownDimensions = Annotated[int, Field(ge=1, le=MAX_DIMENSIONS), WHOLE]
Text = Annotated[str, AfterValidator(filled)]
Url = Annotated[Text, BeforeValidator(stripped)]
OptionalText = Annotated[str | None, BeforeValidator(blank_is_none)]
OptionalUrl = Annotated[str | None, BeforeValidator(stripped), BeforeValidator(blank_is_none)]
OptionalKey = Annotated[SecretStr, BeforeValidator(stripped), BeforeValidator(unmasked), AfterValidator(sendable)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(blank_is_none), BeforeValidator(unmasked)]
Key = Annotated[OptionalKey, AfterValidator(filled)]


#: Shown at once, not folded away under "Optional fields".
SHOWN: dict[str, Any] = {"always_show": True}


class Part(BaseModel):
    """An object of the configuration: unknown fields are passed over, values never shown."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, raw: object) -> object:
        """A field set to null counts as not given."""
        return {key: value for key, value in raw.items() if value is not None} if isinstance(raw, dict) else raw


def _require_mode(schema: dict[str, Any]) -> None:
    schema["required"] = ["mode", *schema.get("required", [])]


class Choice(Part):
    """One of several shapes of an object, told by its `mode`."""

    model_config = ConfigDict(json_schema_extra=_require_mode)
