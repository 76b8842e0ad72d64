"""Providers' own codes of what went wrong: what this package understands, and what it shows (pure)."""

from __future__ import annotations

from typing import Final

#: No waiting helps against these, although OpenAI sends them with 429 (https://platform.openai.com/docs/guides/error-codes).
#: The last two are LiteLLM's and DashScope's, with 400 too.
NO_MONEY: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "budget_exceeded", "Arrearage"}
)
NO_MODEL: Final = frozenset({"model_not_found", "DeploymentNotFound", "deployment_not_found", "invalid_model"})
#: Too many requests, or too many tokens: said with 429, and by some gateways with another status.
RATE_LIMIT: Final = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limit_reached",
        "RateLimitReached",
        "TooManyRequests",
        "RateLimitError",
        "throttling_error",
    }
)

#: The codes and types that tell an operator more than the status does. No plain words, such as OpenAI's "tokens":
#: they may be echoes. Cohere answers with neither.
SHOWN: Final = (
    NO_MONEY
    | NO_MODEL
    | RATE_LIMIT
    # OpenAI, and what imitates it
    | {
        "invalid_api_key",
        "authentication_error",
        "account_deactivated",
        "mismatched_organization",
        "mismatched_project",
    }
    | {"insufficient_permissions", "permission_error", "missing_scope", "ip_not_authorized"}
    | {"unsupported_country_region_territory", "access_terminated", "request_forbidden"}
    | {"context_length_exceeded", "max_tokens_per_request", "string_above_max_length", "array_above_max_length"}
    | {"invalid_request_error", "invalid_value", "invalid_type", "unsupported_value"}
    | {"missing_required_parameter", "unknown_parameter", "unsupported_parameter", "unknown_url", "not_found_error"}
    | {"server_error", "api_error", "internal_error", "internal_server_error", "service_unavailable"}
    # Azure
    | {"OperationNotSupported", "ResourceNotFound", "AccessDenied", "PermissionDenied", "AuthenticationFailed"}
    | {"NoCapacity", "InternalServerError", "ServiceUnavailable"}
    | {"BadRequest", "content_filter"}
    # vLLM, llama.cpp and LiteLLM
    | {"BadRequestError", "NotFoundError", "AuthenticationError", "PermissionDeniedError"}
    | {"exceed_context_size_error", "unavailable_error", "not_supported_error"}
    | {"auth_error", "key_model_access_denied", "team_model_access_denied"}
)
