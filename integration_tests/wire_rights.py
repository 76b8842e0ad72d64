"""What a key may do: the rights of Qdrant's API keys and tokens, with the texts of a real server (1.18.3).

The rights are checked by the name in the request: a key for a collection does not open its alias, nor the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from wire_requests import Json, RefusalError

Access = Literal["r", "m", "expired"] | Mapping[str, Literal["r", "rw", "prw"]]
"""Of everything ("r": reads, "m": manages), of some collections ("prw": only their points), or of nothing any more."""

Need = Literal["any", "read", "points", "write", "manage"]
"""What a route asks for; "any" is content with every valid key."""


def access_of(key: str | None, keys: Mapping[str, Access]) -> Access:
    """What a key may do, if it is one."""
    if key is None:
        raise RefusalError(401, "Must provide an API key or an Authorization bearer token", plain=True)
    if key not in keys:
        raise RefusalError(401, "Invalid API key or JWT", plain=True)
    if keys[key] == "expired":
        raise RefusalError(403, "ExpiredSignature", plain=True)
    return keys[key]


def check_rights(access: Access, need: Need, name: str | None, *, exists: bool) -> None:
    """Refuse what a key does not allow on the collection of this name."""
    if access == "m" or need == "any":
        return
    if not isinstance(access, Mapping):
        _check_global(need, exists=exists)
    elif need == "manage" or name is None:
        raise RefusalError(403, "Forbidden: Global access is required")
    elif name not in access:
        raise RefusalError(403, f"Forbidden: Access to collection {name} is required")
    elif need != "read" and access[name] == "r":
        raise RefusalError(403, f"Forbidden: Write access to collection {name} is required")
    elif need == "write" and access[name] == "prw":
        raise RefusalError(403, f"Forbidden: Only points access is allowed for collection {name}")


def _check_global(need: Need, *, exists: bool) -> None:
    """Where the collection is missing, this comes out first."""
    if need == "manage" or (need in {"points", "write"} and exists):
        raise RefusalError(403, "Forbidden: Global manage access is required")


def visible(result: Json, access: Access) -> Json:
    """A list without what a key for collections may not see: other collections, and all aliases."""
    if not isinstance(access, Mapping):
        return result
    if "collections" in result:
        return {"collections": [each for each in result["collections"] if each["name"] in access]}
    return {"aliases": []} if "aliases" in result else result
