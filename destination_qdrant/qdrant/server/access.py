"""What the configuration says about the way to a Qdrant server (pure). `config` has refused what cannot be sent."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts; None where the usual authorities, or no client certificate, are meant."""

    authority: str | None = None
    client: str | None = None
    client_key: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return not (self.authority is self.client is self.client_key is None)


@dataclass(frozen=True, slots=True)
class Access:
    """What the configuration says about the way to the server. `grpc_port` None: where it usually is."""

    url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    prefer_grpc: bool = True
    grpc_port: int | None = None
    certificates: Certificates = Certificates()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)

    @property
    def has_secret(self) -> bool:
        """Whether what is sent should not be read on the way."""
        return self.api_key is not None or bool(self.certificates) or "authorization" in self.all_headers()

    def all_headers(self) -> dict[str, str]:
        """Header -> value, the key among them: given as `api_key`, the client warns on stderr about http."""
        key = {} if self.api_key is None else {"api-key": self.api_key}
        return key | {name.lower(): value for name, value in self.headers}
