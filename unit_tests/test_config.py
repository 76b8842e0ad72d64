"""What the configuration accepts, what it makes of it, and how it says what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import ValidationError

from destination_qdrant.config import (
    ApiKeyAuth,
    AzureOpenAI,
    CodeSplitter,
    Cohere,
    Config,
    Fake,
    FieldNameMapping,
    FieldsFormat,
    FromField,
    Local,
    MarkdownSplitter,
    NoAuth,
    OpenAI,
    OpenAICompatible,
    QdrantInference,
    Requests,
    SeparatorSplitter,
    StreamProcessing,
    TemplateFormat,
    ValuesFormat,
    WholeText,
    parse_config,
    secrets,
    secrets_of_raw,
)
from destination_qdrant.config.problems import describe
from destination_qdrant.errors import ConfigError
from destination_qdrant.spec import connector_spec

Json = dict[str, Any]

MINIMAL: Json = {
    "processing": {"chunk_size": 500},
    "embedding": {"mode": "fake"},
    "indexing": {"url": "http://localhost:6333", "collection": "documents"},
}
PREVIOUS = json.loads((Path(__file__).parents[1] / "integration_tests" / "spec_previous.json").read_text("utf-8"))
SPEC = connector_spec()["connectionSpecification"]
OLD_FORM, FORM = Draft7Validator(PREVIOUS["connectionSpecification"]), Draft7Validator(SPEC)


def changed(path: str, value: object) -> Json:
    """The minimal configuration with the value at a dotted path."""
    raw = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    node = raw
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return raw


def without(path: str) -> Json:
    raw = changed(path, None)
    *parents, last = path.split(".")
    node = raw
    for parent in parents:
        node = node[parent]
    del node[last]
    return raw


def nested(levels: int) -> str:
    """A JSON object of that many levels, in which lists and objects take turns."""
    lists = (levels - 1) // 2
    return '{"a":' + '[{"a":' * lists + ("1" if levels % 2 else "{}") + "}]" * lists + "}"


def complaint(raw: object, **options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, **options)
    return caught.value.message


def refusal(raw: object) -> ConfigError | None:
    try:
        parse_config(raw)
    except ConfigError as error:
        return error
    return None


# ----------------------------------------------------------------------------------------------------------
# What is accepted


def test_defaults_are_those_of_airbytes_connector() -> None:
    config = parse_config(MINIMAL)

    assert config.processing.chunk_overlap == 0
    assert config.processing.text_fields == ()
    assert config.processing.metadata_fields == ()
    assert config.processing.field_name_mappings == ()
    assert config.processing.text_splitter == SeparatorSplitter()
    assert config.processing.max_payload_bytes == 1_048_576
    assert config.processing.text_format == FieldsFormat()
    assert config.processing.records_without_text == "skip"
    assert config.processing.streams == ()
    assert config.indexing.reuse_vectors is True
    assert config.indexing.auth_method == NoAuth()
    assert config.indexing.prefer_grpc is True
    assert config.indexing.batch_size == 512
    assert config.indexing.requests_in_flight == 4
    assert (config.indexing.timeout, config.indexing.retry_seconds) == (60, 300)
    assert config.indexing.distance_metric == "cos"
    assert config.indexing.text_field == "text"
    assert config.indexing.embedded_folder is None
    assert config.omit_raw_text is False


def test_a_configuration_cannot_be_changed() -> None:
    config = parse_config(MINIMAL)

    with pytest.raises(ValidationError):
        config.processing.chunk_size = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("embedding", "expected"),
    [
        ({"mode": "openai", "openai_key": "k"}, OpenAI(openai_key="k", model_name=None, dimensions=None)),
        (
            {"mode": "openai", "openai_key": "k", "model_name": "text-embedding-3-large", "dimensions": 256},
            OpenAI(openai_key="k", model_name="text-embedding-3-large", dimensions=256),
        ),
        ({"mode": "openai", "openai_key": "k", "model_name": " "}, OpenAI(openai_key="k", model_name=None)),
        (
            {"mode": "azure_openai", "openai_key": "k", "api_base": "https://a", "deployment": "d"},
            AzureOpenAI(openai_key="k", api_base="https://a", deployment="d", api_version="2024-10-21"),
        ),
        (
            {"mode": "openai_compatible", "base_url": "http://localhost:11434/v1", "dimensions": 768.0},
            OpenAICompatible(
                api_key="",
                base_url="http://localhost:11434/v1",
                model_name=None,
                dimensions=768,
            ),
        ),
        ({"mode": "cohere", "cohere_key": "k"}, Cohere(cohere_key="k", model_name="embed-v4.0", dimensions=None)),
        ({"mode": "fake"}, Fake()),
        ({"mode": "from_field", "field_name": "v", "dimensions": 3}, FromField(field_name="v", dimensions=3)),
        ({"mode": "local"}, Local(model_name="all-MiniLM-L6-v2", model_path=None)),
        ({"mode": "local", "model_path": "/models/x"}, Local(model_path="/models/x")),
        (
            {"mode": "openai_compatible", "preset": "voyage", "base_url": " ", "model_name": "", "extra_body": " "},
            OpenAICompatible(preset="voyage", base_url=None, model_name=None, dimensions=None, extra_body=None),
        ),
        (
            {"mode": "openai", "openai_key": "k", "base_url": " https://eu.api.openai.com/v1 "},
            OpenAI(openai_key="k", base_url="https://eu.api.openai.com/v1"),
        ),
        ({"mode": "cohere", "cohere_key": "k", "base_url": ""}, Cohere(cohere_key="k", base_url=None)),
        (
            {"mode": "azure_openai", "openai_key": "k", "api_base": "https://a", "deployment": "d", "model_name": "m"},
            AzureOpenAI(openai_key="k", api_base="https://a", deployment="d", model_name="m"),
        ),
        (
            {"mode": "qdrant"},
            QdrantInference(model_name="sentence-transformers/all-minilm-l6-v2", dimensions=None, document_prefix=""),
        ),
    ],
)
def test_every_embedding_mode(embedding: Json, expected: object) -> None:
    assert parse_config(changed("embedding", embedding)).embedding == expected


@pytest.mark.parametrize(
    ("splitter", "expected"),
    [
        ({"mode": "separator", "keep_separator": True}, SeparatorSplitter(keep_separator=True)),
        ({"mode": "markdown"}, MarkdownSplitter(split_level=1)),
        ({"mode": "markdown", "heading_path": True}, MarkdownSplitter(split_level=1, heading_path=True)),
        ({"mode": "code", "language": "python"}, CodeSplitter(language="python")),
        ({"mode": "none"}, WholeText(when_too_long="truncate")),
        ({"mode": "none", "when_too_long": "fail"}, WholeText(when_too_long="fail")),
    ],
)
def test_every_text_splitter(splitter: Json, expected: object) -> None:
    assert parse_config(changed("processing.text_splitter", splitter)).processing.text_splitter == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"mode": "fields"}, FieldsFormat()),
        ({"mode": "values"}, ValuesFormat()),
        ({"mode": "template", "template": "{a}: {chunk}"}, TemplateFormat(template="{a}: {chunk}")),
    ],
)
def test_every_form_of_the_text(form: Json, expected: object) -> None:
    assert parse_config(changed("processing.text_format", form)).processing.text_format == expected


@pytest.mark.parametrize(
    ("template", "words", "fields"),
    [
        ("{title}", ("", ""), ("title",)),
        ("{ user.name } says:\n{comments.*.text}", ("", " says:\n", ""), ("user.name", "comments.*.text")),
        ("{a}{b}", ("", "", ""), ("a", "b")),
        ("{{{a}}} {{}} {{b}}", ("{", "} {} {b}"), ("a",)),
        ("{title} ({chunk})", ("", " (", ")"), ("title", "chunk")),
        ("{.chunk}", ("", ""), (".chunk",)),
        ("{a}, {a}", ("", ", ", ""), ("a", "a")),
    ],
)
def test_a_template_is_words_and_fields(template: str, words: tuple[str, ...], fields: tuple[str, ...]) -> None:
    parsed = TemplateFormat(template=template).parsed

    assert (parsed.words, parsed.fields, parsed.holds_chunk) == (words, fields, "chunk" in fields)


REQUESTING = [
    {"mode": "openai", "openai_key": "k"},
    {"mode": "azure_openai", "openai_key": "k", "api_base": "https://a", "deployment": "d"},
    {"mode": "openai_compatible", "base_url": "https://a"},
    {"mode": "cohere", "cohere_key": "k"},
]


@pytest.mark.parametrize("embedding", REQUESTING)
def test_every_provider_can_be_told_how_to_ask(embedding: Json) -> None:
    told = {"in_flight": 64, "batch_size": 1, "batch_tokens": 5, "timeout": 9, "retry_seconds": 0} | {
        "requests_per_minute": 1, "tokens_per_minute": 1_000_000,
    }  # fmt: skip
    usual = Requests(
        in_flight=8,
        batch_size=None,
        batch_tokens=None,
        timeout=60,
        retry_seconds=600,
        requests_per_minute=None,
        tokens_per_minute=None,
    )

    assert parse_config(changed("embedding", embedding | {"requests": told})).embedding.requests == Requests(**told)
    assert parse_config(changed("embedding", embedding)).embedding.requests == usual
    assert parse_config(changed("embedding", embedding | {"requests": None})).embedding.requests == usual


@pytest.mark.parametrize(("text", "parsed"), [(None, None), ("{}", {}), ('{"a": {"b": [1]}}', {"a": {"b": [1]}})])
def test_more_fields_of_a_request_are_a_json_object(text: str | None, parsed: object) -> None:
    assert OpenAICompatible(base_url="https://a", extra_body=text).parsed_extra_body == parsed


def test_streams_may_have_settings_of_their_own() -> None:
    entries = [
        {"name": "issues", "text_fields": ["body"], "text_splitter": {"mode": "none"}},
        {"name": "issues", "namespace": "public", "metadata_fields": ["state"]},
        {"name": "docs", "namespace": " ", "text_format": {"mode": "template", "template": "{a}"}},
    ]

    assert parse_config(changed("processing.streams", entries)).processing.streams == (
        StreamProcessing(name="issues", namespace=None, text_fields=("body",), text_splitter=WholeText()),
        StreamProcessing(name="issues", namespace="public", metadata_fields=("state",)),
        StreamProcessing(name="docs", namespace=None, text_format=TemplateFormat(template="{a}")),
    )


@pytest.mark.parametrize(
    ("separators", "parsed"),
    [
        (['"\\n\\n"', '"\\n"', '" "', '""'], ("\n\n", "\n", " ", "")),
        (['"."', '"\\u00a7"', '"\n"'], (".", "§", "\n")),
        ([], ("\n\n", "\n", " ", "")),
    ],
)
def test_separators_are_read_as_json_texts_and_none_means_the_default(
    separators: list[str], parsed: tuple[str, ...]
) -> None:
    assert SeparatorSplitter(separators=separators).parsed == parsed
    assert SeparatorSplitter().parsed == ("\n\n", "\n", " ", "")


def test_mappings_keep_their_order() -> None:
    mappings = [{"from_field": "b", "to_field": "x"}, {"from_field": "a", "to_field": "b"}]

    config = parse_config(changed("processing.field_name_mappings", mappings))

    assert config.processing.field_name_mappings == (
        FieldNameMapping(from_field="b", to_field="x"),
        FieldNameMapping(from_field="a", to_field="b"),
    )


def test_the_same_mapping_twice_is_harmless() -> None:
    mapping = {"from_field": "a", "to_field": "b"}

    config = parse_config(changed("processing.field_name_mappings", [mapping, mapping]))

    assert len(config.processing.field_name_mappings) == 2


@pytest.mark.parametrize(
    "path",
    [
        "processing.text_splitter",
        "processing.text_fields",
        "processing.metadata_fields",
        "processing.field_name_mappings",
        "processing.chunk_overlap",
        "processing.max_payload_bytes",
        "processing.text_format",
        "processing.records_without_text",
        "processing.streams",
        "indexing.reuse_vectors",
        "indexing.auth_method",
        "indexing.prefer_grpc",
        "indexing.batch_size",
        "indexing.requests_in_flight",
        "indexing.timeout",
        "indexing.retry_seconds",
        "indexing.distance_metric",
        "indexing.text_field",
        "omit_raw_text",
    ],
)
def test_null_means_not_given(path: str) -> None:
    assert parse_config(changed(path, None)) == parse_config(MINIMAL)


def test_an_empty_auth_method_means_no_authentication() -> None:
    """The schema of Airbyte's connector accepts it, and can only mean that branch."""
    assert parse_config(changed("indexing.auth_method", {})).indexing.auth_method == NoAuth()


def test_unknown_keys_are_ignored_at_every_level() -> None:
    raw = copy.deepcopy(MINIMAL) | {"more": 1}
    for part in ("processing", "embedding", "indexing"):
        raw[part]["more"] = {"deep": []}

    assert parse_config(raw) == parse_config(MINIMAL)


def test_whitespace_around_keys_and_addresses_is_dropped() -> None:
    raw = changed("embedding", {"mode": "openai", "openai_key": "\n sk-1 \n"})
    raw["indexing"] |= {"url": " http://localhost ", "auth_method": {"mode": "api_key_auth", "api_key": " k\t"}}

    config = parse_config(raw)

    assert config.indexing.url == "http://localhost"
    assert secrets(config) == ("sk-1", "k")


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///data/qdrant", "/data/qdrant"),
        ("FILE:///data/qdrant/", "/data/qdrant"),
        ("file://localhost/data", "/data"),
        ("file:/data", "/data"),
        ("file:////data", "/data"),
        ("file:///my%20data/50%25", "/my data/50%"),
        ("file:///data/#1?", "/data/#1?"),
    ],
)
def test_a_file_url_names_the_folder_of_an_embedded_qdrant(url: str, folder: str) -> None:
    assert parse_config(changed("indexing.url", url)).indexing.embedded_folder == Path(folder)


@pytest.mark.parametrize("url", ["http://h:6333", "https://h/prefix", "h:6333", "profile", "http://file:6333"])
def test_any_other_address_is_a_server(url: str) -> None:
    indexing = parse_config(changed("indexing.url", url), deployment_mode="CLOUD").indexing

    assert indexing.url == url
    assert indexing.embedded_folder is None


@pytest.mark.parametrize("mode", ["", "oss", "OSS"])
def test_folders_are_for_machines_of_ones_own(mode: str) -> None:
    config = parse_config(changed("indexing.url", "file:///data"), deployment_mode=mode)

    assert config.indexing.embedded_folder == Path("/data")


@pytest.mark.parametrize("name", ["a", "x" * 255, "é" * 127, "My documents", "Bücher", "a.b", "...", "-"])
def test_collection_names_that_qdrant_takes(name: str) -> None:
    assert parse_config(changed("indexing.collection", name)).indexing.collection == name


# ----------------------------------------------------------------------------------------------------------
# Configurations stored for Airbyte's connector

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.text("abcXYZ_.-0 ", min_size=1, max_size=8).filter(lambda name: name.strip(" .") != "")
KEYS = st.text("sk-ABC019_", min_size=1, max_size=12)
SIZES = st.integers(1, 65_536).flatmap(lambda size: st.sampled_from([size, float(size)]))


def choice(mode: str, required: Json | None = None, optional: Json | None = None) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"mode": st.just(mode), **(required or {})}, optional=optional or {})


OLD_EMBEDDING = st.one_of(
    choice("openai", {"openai_key": KEYS}),
    choice("cohere", {"cohere_key": KEYS}),
    choice("fake"),
    choice("azure_openai", {"openai_key": KEYS, "api_base": NAMES, "deployment": NAMES}),
    choice("openai_compatible", {"base_url": NAMES, "dimensions": SIZES}, {"api_key": KEYS, "model_name": TEXT}),
    choice("from_field", {"field_name": NAMES, "dimensions": SIZES}),
)
OLD_SPLITTER = st.one_of(
    choice("separator", optional={"separators": st.lists(TEXT.map(json.dumps)), "keep_separator": st.booleans()}),
    choice("markdown", optional={"split_level": st.integers(1, 6)}),
    choice("code", {"language": st.sampled_from(["cpp", "go", "js", "html", "sol", "markdown"])}),
)
OLD_MAPPINGS = st.lists(
    st.fixed_dictionaries({"from_field": TEXT, "to_field": TEXT}), unique_by=lambda mapping: mapping["to_field"]
)
OLD_PROCESSING = st.integers(1, 8191).flatmap(
    lambda size: st.fixed_dictionaries(
        {"chunk_size": st.just(size)},
        optional={
            "chunk_overlap": st.integers(0, size - 1),
            "text_fields": st.lists(TEXT),
            "metadata_fields": st.lists(TEXT),
            "text_splitter": OLD_SPLITTER,
            "field_name_mappings": OLD_MAPPINGS,
            "stray": TEXT,
        },
    )
)
OLD_INDEXING = st.fixed_dictionaries(
    {"url": NAMES, "collection": NAMES},
    optional={
        "auth_method": st.one_of(choice("no_auth"), choice("api_key_auth", {"api_key": KEYS})),
        "prefer_grpc": st.booleans(),
        "distance_metric": st.sampled_from(["dot", "cos", "euc"]),
        "text_field": TEXT,
    },
)
OLD_CONFIG = st.fixed_dictionaries(
    {"embedding": OLD_EMBEDDING, "processing": OLD_PROCESSING, "indexing": OLD_INDEXING},
    optional={"omit_raw_text": st.booleans(), "stray": TEXT},
)


@given(OLD_CONFIG)
def test_what_airbytes_connector_accepted_is_accepted_and_kept(raw: Json) -> None:
    assert OLD_FORM.is_valid(raw)
    assert FORM.is_valid(raw)

    config = parse_config(raw)

    assert config.embedding.mode == raw["embedding"]["mode"]
    assert config.processing.chunk_overlap == raw["processing"].get("chunk_overlap", 0)
    assert list(config.processing.text_fields) == raw["processing"].get("text_fields", [])
    assert config.indexing.collection == raw["indexing"]["collection"]
    assert set(secrets(config)) == {
        value
        for part in (raw["embedding"], raw["indexing"].get("auth_method", {}))
        for name, value in part.items()
        if name in {"openai_key", "cohere_key", "api_key"}
    }
    assert set(secrets(config)) <= set(secrets_of_raw(raw))


# ----------------------------------------------------------------------------------------------------------
# What is wrong, in words

UNCLOSED = "must close each { with a } (write {{ or }} for a brace itself)"
UNNAMED_FIELD = "must name a field between { and } (write {{ or }} for a brace itself)"
SAYS_THE_SAME = "must hold a field in braces, such as {title}, or all records would say the same"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "the configuration must be an object, not a list"),
        ("{}", "the configuration must be an object, not a text"),
        (None, "the configuration must be an object, not null"),
        (without("processing"), "processing is missing"),
        (without("processing.chunk_size"), "processing.chunk_size is missing"),
        (changed("processing.chunk_size", None), "processing.chunk_size is missing"),
        (without("indexing.url"), "indexing.url is missing"),
        (without("indexing.collection"), "indexing.collection is missing"),
        (changed("processing", []), "processing must be an object, not a list"),
        (changed("processing.chunk_size", "many"), "processing.chunk_size must be a whole number, not a text"),
        (changed("processing.chunk_size", []), "processing.chunk_size must be a whole number, not a list"),
        (
            changed("processing.chunk_size", 1.5),
            "processing.chunk_size must be a whole number, not a number with a fraction",
        ),
        (
            changed("processing.chunk_size", float("inf")),
            "processing.chunk_size must be a whole number, not a number with a fraction",
        ),
        (changed("processing.chunk_size", True), "processing.chunk_size must be a whole number, not true or false"),
        (changed("processing.chunk_size", 0), "processing.chunk_size must be 1 or more"),
        (changed("processing.chunk_size", 8192), "processing.chunk_size must be 8191 or less"),
        (
            changed("processing.chunk_overlap", 501),
            "processing.chunk_overlap must not be larger than processing.chunk_size",
        ),
        (changed("processing.chunk_overlap", -1), "processing.chunk_overlap must be 0 or more"),
        (changed("processing.max_payload_bytes", 1023), "processing.max_payload_bytes must be 1024 or more"),
        (changed("processing.max_payload_bytes", 2**24 + 1), "processing.max_payload_bytes must be 16777216 or less"),
        (changed("indexing.batch_size", 0), "indexing.batch_size must be 1 or more"),
        (changed("indexing.requests_in_flight", 0), "indexing.requests_in_flight must be 1 or more"),
        (changed("indexing.requests_in_flight", 65), "indexing.requests_in_flight must be 64 or less"),
        (changed("indexing.timeout", 0), "indexing.timeout must be 1 or more"),
        (changed("indexing.timeout", 3601), "indexing.timeout must be 3600 or less"),
        (changed("indexing.retry_seconds", -1), "indexing.retry_seconds must be 0 or more"),
        (changed("indexing.retry_seconds", 86401), "indexing.retry_seconds must be 86400 or less"),
        (changed("indexing.batch_size", 4097), "indexing.batch_size must be 4096 or less"),
        (changed("processing.text_fields", "title"), "processing.text_fields must be a list, not a text"),
        (changed("processing.text_fields", ["a", 7]), "processing.text_fields[1] must be a text, not a number"),
        (
            changed("processing.text_splitter", {"mode": "magic"}),
            "processing.text_splitter.mode must be one of separator, markdown, code, none",
        ),
        (
            changed("processing.text_splitter", {"mode": "none", "when_too_long": "cut"}),
            "processing.text_splitter.when_too_long must be 'truncate' or 'fail'",
        ),
        (
            changed("processing.text_format", {"template": "{a}"}),
            "processing.text_format.mode must be one of fields, values, template, but is missing",
        ),
        (
            changed("processing.text_format", {"mode": "template"}),
            "processing.text_format.template is missing",
        ),
        *(
            (
                changed("processing.text_format", {"mode": "template", "template": template}),
                f"processing.text_format.template {problem}",
            )
            for template, problem in (
                (" ", "must not be empty"),
                ("hunter2\ud800 {a}", "holds a character that is not valid Unicode"),
                *((bad, UNCLOSED) for bad in ("{a", "a}", "{a}}", "{{a}", "{a{b}}", '{"x": {a}}', "{{{a}}", "{")),
                *((bad, UNNAMED_FIELD) for bad in ("{}", "{a} { }", "{.}")),
                *((bad, SAYS_THE_SAME) for bad in ("hunter2", "{{title}}")),
                ("{chunk} {a} { chunk }", "must not hold {chunk} more than once"),
            )
        ),
        (
            changed("processing.streams", [{"name": "s", "text_format": {"mode": "template", "template": "{"}}]),
            f"processing.streams[0].text_format.template {UNCLOSED}",
        ),
        (
            changed("processing.streams", [{"name": "s", "text_splitter": {"mode": "magic"}}]),
            "processing.streams[0].text_splitter.mode must be one of separator, markdown, code, none",
        ),
        (
            changed("processing.streams", [{"name": "s"}, {"name": "s", "namespace": ""}]),
            "processing.streams must not list a stream twice",
        ),
        (changed("processing.streams", [{"namespace": "n"}]), "processing.streams[0].name is missing"),
        (changed("processing.streams", [{"name": " "}]), "processing.streams[0].name must not be empty"),
        (
            changed("processing.records_without_text", "drop"),
            "processing.records_without_text must be 'skip', 'store' or 'fail'",
        ),
        *(
            (
                changed("embedding", {"mode": "cohere", "cohere_key": "k", "requests": {name: value}}),
                f"embedding.requests.{name} must be {problem}",
            )
            for name, value, problem in (
                ("in_flight", 0, "1 or more"),
                ("in_flight", 65, "64 or less"),
                ("batch_size", 0, "1 or more"),
                ("batch_size", 2049, "2048 or less"),
                ("batch_tokens", 0, "1 or more"),
                ("timeout", 0, "1 or more"),
                ("timeout", 3601, "3600 or less"),
                ("retry_seconds", -1, "0 or more"),
                ("retry_seconds", 86_401, "86400 or less"),
                ("requests_per_minute", 0, "1 or more"),
                ("tokens_per_minute", True, "a whole number, not true or false"),
            )
        ),
        *(
            (
                changed("embedding", {"mode": "openai_compatible", "base_url": "https://a", "extra_body": body}),
                'embedding.extra_body must be a JSON object, such as {"input_type": "document"}',
            )
            for body in ("[1]", "{", "hunter2", "[" * 100_000)
        ),
        (
            changed(
                "embedding",
                {
                    "mode": "openai_compatible",
                    "base_url": "https://a",
                    "extra_body": '{"model": 1, "input": 2, "n": 3}',
                },
            ),
            "embedding.extra_body must not hold input and model, which the connector itself sends",
        ),
        (
            changed("embedding", {"mode": "openai_compatible", "base_url": "https://a", "max_text_tokens": 0}),
            "embedding.max_text_tokens must be 1 or more",
        ),
        (
            changed("embedding", {"mode": "openai_compatible", "preset": "acme"}),
            (
                "embedding.preset must be 'custom', 'voyage', 'mistral', 'gemini', 'jina', 'nvidia', 'ollama', 'tei' or "
                "'openrouter'"
            ),
        ),
        (changed("embedding", {"mode": "qdrant", "model_name": " "}), "embedding.model_name must not be empty"),
        (changed("indexing.reuse_vectors", "maybe"), "indexing.reuse_vectors must be true or false, not a text"),
        (changed("processing.text_splitter", "separator"), "processing.text_splitter must be an object, not a text"),
        (
            changed("processing.text_splitter", {"mode": "separator", "separators": ['"."', "\\n"]}),
            'processing.text_splitter.separators[1] must be a text in double quotes, such as "\\n" or "."',
        ),
        *(
            (
                changed("processing.text_splitter", {"mode": "separator", "separators": [separator]}),
                'processing.text_splitter.separators[0] must be a text in double quotes, such as "\\n" or "."',
            )
            for separator in ("7", "[" * 100_000)
        ),
        (
            changed("processing.text_splitter", {"mode": "markdown", "split_level": 7}),
            "processing.text_splitter.split_level must be 6 or less",
        ),
        (
            changed("processing.text_splitter", {"mode": "code", "language": "cobol"}),
            (
                "processing.text_splitter.language must be 'cpp', 'go', 'java', 'js', 'php', 'proto', 'python', 'rst', "
                "'ruby', 'rust', 'scala', 'swift', 'markdown', 'latex', 'html' or 'sol'"
            ),
        ),
        (
            changed("processing.field_name_mappings", [{"from_field": "a"}]),
            "processing.field_name_mappings[0].to_field is missing",
        ),
        (
            changed(
                "processing.field_name_mappings",
                [{"from_field": "a", "to_field": "c"}, {"from_field": "b", "to_field": "c"}],
            ),
            (
                "processing.field_name_mappings must not give two fields the same to_field, because one would replace "
                "the other"
            ),
        ),
        (changed("embedding", "fake"), "embedding must be an object, not a text"),
        (
            changed("embedding", {}),
            (
                "embedding.mode must be one of openai, azure_openai, openai_compatible, cohere, local, qdrant, from_field, "
                "fake, "
                "but is missing"
            ),
        ),
        (
            changed("embedding", {"mode": "magic"}),
            (
                "embedding.mode must be one of openai, azure_openai, openai_compatible, cohere, local, qdrant, from_field, "
                "fake"
            ),
        ),
        (changed("embedding", {"mode": "openai"}), "embedding.openai_key is missing"),
        (changed("embedding", {"mode": "openai", "openai_key": " "}), "embedding.openai_key must not be empty"),
        (
            changed("embedding", {"mode": "openai", "openai_key": 5}),
            "embedding.openai_key must be a text, not a number",
        ),
        (
            changed("embedding", {"mode": "openai", "openai_key": "sk-one\nsk-two"}),
            "embedding.openai_key holds a blank, a line break or another character that no key can have; copy the key again",
        ),
        *(
            (
                changed("indexing.auth_method", {"mode": "api_key_auth", "api_key": key}),
                (
                    "indexing.auth_method.api_key holds a blank, a line break or another character that no key can have;"
                    " copy the key again"
                ),
            )
            for key in ("schlüssel", "two words", "two\nlines", "\x7f")
        ),
        (
            changed("embedding", {"mode": "openai", "openai_key": "k", "dimensions": 0}),
            "embedding.dimensions must be 1 or more",
        ),
        (changed("embedding", {"mode": "cohere", "cohere_key": ""}), "embedding.cohere_key must not be empty"),
        (
            changed("embedding", {"mode": "from_field", "field_name": "", "dimensions": 3}),
            "embedding.field_name must not be empty",
        ),
        (
            changed("embedding", {"mode": "from_field", "field_name": "v", "dimensions": 65_537}),
            "embedding.dimensions must be between 1 and 65536",
        ),
        (changed("indexing.url", "  "), "indexing.url must not be empty"),
        *(
            (
                changed("indexing.url", url),
                "indexing.url must name a folder by its absolute path, as in file:///data/qdrant",
            )
            for url in ("file:data", "file://data/qdrant", "file:", "file://", "file:///", "file:///a%00", "/data/q")
        ),
        *(
            (changed(path, "a\ud800"), f"{path} holds a character that is not valid Unicode")
            for path in ("indexing.url", "indexing.collection")
        ),
        (changed("indexing.collection", " "), "indexing.collection must not be empty"),
        *(
            (
                changed("indexing.collection", name),
                "indexing.collection must not be longer than 255 bytes (a letter with an accent takes two)",
            )
            for name in ("x" * 256, "é" * 128, "é" * 250)
        ),
        *(
            (
                changed("indexing.collection", name),
                'indexing.collection must be a name that Qdrant takes: without / \\ : * ? " < > | and not just dots',
            )
            for name in (*(f"a{character}b" for character in '/\\:*?"<>|\0'), ".", "..")
        ),
        (
            changed("indexing.auth_method", {"api_key": "k"}),
            "indexing.auth_method.mode must be one of api_key_auth, no_auth, but is missing",
        ),
        (
            changed("indexing.text_field", "_ab_stream"),
            "indexing.text_field must not begin with _ab_, which marks the connector's own fields",
        ),
        (
            changed("indexing.distance_metric", "l2"),
            "indexing.distance_metric must be 'cos', 'dot', 'euc' or 'manhattan'",
        ),
        (changed("indexing.prefer_grpc", "maybe"), "indexing.prefer_grpc must be true or false, not a text"),
        (changed("indexing.grpc_port", 0), "indexing.grpc_port must be 1 or more"),
        (
            changed("indexing.tls", {"client_certificate": "PEM"}),
            "indexing.tls needs client_certificate and client_key together, or neither of them",
        ),
        (
            changed("indexing.headers", "X-A: 1\n\nX-B 2"),
            "indexing.headers must have a colon after the name in line 3, as in X-Tenant: blue",
        ),
        *(
            (
                changed("indexing.headers", f"X-A: 1\n{name}: hunter2"),
                (
                    "indexing.headers in line 2 must begin with the name of a header that gRPC can send too, such as "
                    "X-Tenant: letters, digits, hyphens, dots and underscores, without grpc- at its beginning and -bin "
                    "at its end"
                ),
            )
            for name in ("", "two words", "größe", "x-data-bin", "grpc-timeout")
        ),
        *(
            (
                changed("indexing.headers", f"{name}: hunter2"),
                (
                    "indexing.headers in line 1 must not hold a header that the connection sets itself (an API key goes "
                    "into indexing.auth_method, a proxy's password into indexing.proxy)"
                ),
            )
            for name in ("API-Key", " Host", "User-Agent", "Proxy-Authorization")
        ),
        *(
            (changed("indexing.headers", text), "indexing.headers in line 1 holds characters that no header can hold")
            for text in ("X-A: hunter2é", "X-A: a\tb")
        ),
        (
            changed("indexing.headers", "X-A: 1\nX-B: 2\r\n x-a : 3"),
            "indexing.headers must not name a header twice, as line 3 does",
        ),
        (changed("indexing.headers", ["X-A: 1"]), "indexing.headers must be a text, not a list"),
        (
            changed("indexing.proxy", "ftp://secret@proxy"),
            "indexing.proxy must be an address such as http://proxy.example.com:3128",
        ),
        (
            changed("indexing.new_collection", {"metadata": "[1]"}),
            (
                'indexing.new_collection.metadata must be a JSON object, such as {"team": "search"}, '
                "with numbers of at most 64 bits and at most 32 levels"
            ),
        ),
        *(
            (
                changed("indexing.new_collection", {"metadata": unstorable}),
                (
                    'indexing.new_collection.metadata must be a JSON object, such as {"team": "search"}, '
                    "with numbers of at most 64 bits and at most 32 levels"
                ),
            )
            for unstorable in ('{"a": 18446744073709551616}', '{"a": NaN}', '{"a": "\\ud800"}', nested(33))
        ),
        (
            changed("indexing.shard_key", "a\nb"),
            "indexing.shard_key holds a line break or another control character",
        ),
        (changed("indexing.shard_key", "a\ud800"), "indexing.shard_key holds a character that is not valid Unicode"),
        (
            changed("indexing.payload_indexes", [{"field": "a", "type": "integer", "tenant": True}]),
            "indexing.payload_indexes[0] can have tenant only with type keyword or uuid",
        ),
        (
            changed("indexing.payload_indexes", [{"field": "a", "type": "bool", "on_disk": True}]),
            "indexing.payload_indexes[0] cannot have on_disk with type bool",
        ),
        (changed("omit_raw_text", []), "omit_raw_text must be true or false, not a list"),
    ],
)
def test_a_problem_is_one_sentence_that_names_the_field(raw: object, problem: str) -> None:
    assert complaint(raw) == f"The configuration cannot be used: {problem}."


@pytest.mark.parametrize("mode", ["cloud", "CLOUD"])
def test_a_folder_is_refused_on_airbyte_cloud(mode: str) -> None:
    assert complaint(changed("indexing.url", "file:///data"), deployment_mode=mode) == (
        "The configuration cannot be used: indexing.url must be the address of a Qdrant server, because a folder "
        "cannot be used on Airbyte Cloud."
    )


def test_several_problems_are_named_together_up_to_five() -> None:
    raw = {
        "processing": {"chunk_size": 0, "text_fields": 1, "metadata_fields": 2},
        "embedding": {"mode": "openai"},
        "indexing": {"collection": "/"},
    }

    assert complaint(raw) == (
        "The configuration cannot be used: processing.chunk_size must be 1 or more; processing.text_fields must be "
        "a list, not a number; processing.metadata_fields must be a list, not a number; embedding.openai_key is "
        "missing; indexing.url is missing; and 1 more."
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = ["processing", "embedding", "indexing", "indexing.auth_method", "processing.text_splitter"] + [
    f"{part}.{name}" for part in ("processing", "indexing") for name in SPEC["properties"][part]["properties"]
]


@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_is_accepted_or_refused_with_a_config_error(path: str, value: object) -> None:
    error = refusal(changed(path, value))

    assert error is None or error.message.startswith("The configuration cannot be used: ")


SHIBBOLETH = "hunter2-Zx81"


@given(
    st.sampled_from([*PLACES, "embedding.mode", "embedding.openai_key", "indexing.auth_method.mode"]),
    st.sampled_from([SHIBBOLETH, [SHIBBOLETH], {SHIBBOLETH: SHIBBOLETH}, {"mode": SHIBBOLETH}, {"mode": [SHIBBOLETH]}]),
)
def test_a_refusal_never_holds_a_value(path: str, value: object) -> None:
    raw = changed("embedding", {"mode": "openai", "openai_key": f"{SHIBBOLETH}\n1"})
    *parents, last = path.split(".")
    node = raw
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value

    error = refusal(raw)

    assert error is None or SHIBBOLETH not in error.message
    assert error is None or (error.__cause__, error.__context__) == (None, None)


# ----------------------------------------------------------------------------------------------------------
# Secrets


@pytest.mark.parametrize(
    "embedding",
    [
        {"mode": "openai", "openai_key": "s-1"},
        {"mode": "azure_openai", "openai_key": "s-1", "api_base": "https://a", "deployment": "d"},
        {"mode": "openai_compatible", "api_key": "s-1", "base_url": "https://a", "dimensions": 3},
        {"mode": "cohere", "cohere_key": "s-1"},
    ],
)
@pytest.mark.parametrize("find", [lambda raw: secrets(parse_config(raw)), secrets_of_raw], ids=["parsed", "raw"])
def test_every_key_is_a_secret(find: Callable[[Json], tuple[str, ...]], embedding: Json) -> None:
    raw = changed("embedding", embedding)
    raw["indexing"]["auth_method"] = {"mode": "api_key_auth", "api_key": "s-2"}

    assert set(find(raw)) == {"s-1", "s-2"}


@pytest.mark.parametrize("find", [lambda raw: secrets(parse_config(raw)), secrets_of_raw], ids=["parsed", "raw"])
def test_what_the_connection_needs_is_a_secret_too(find: Callable[[Json], tuple[str, ...]]) -> None:
    raw = changed("indexing.headers", "X-Gateway: s-3\n Authorization:Basic a:b \nX-Upstream: http://me:s-6@host")
    raw["indexing"]["tls"] = {"client_certificate": "shown", "client_key": "s-4"}
    raw["indexing"]["proxy"] = "http://user:s-5@proxy:3128"

    assert {"s-3", "s-4", "http://user:s-5@proxy:3128", "s-5", "s-6"} <= set(find(raw))
    assert {"Authorization:Basic a:b", "Basic a:b", raw["indexing"]["headers"]} <= set(find(raw))
    assert {"shown", "", "Authorization"}.isdisjoint(find(raw))


def test_an_empty_key_is_no_secret() -> None:
    raw = changed("embedding", {"mode": "openai_compatible", "base_url": "https://a", "dimensions": 3, "api_key": ""})

    assert secrets(parse_config(raw)) == ()
    assert secrets_of_raw(raw) == ()


@pytest.mark.parametrize("find", [lambda raw: secrets(parse_config(raw)), secrets_of_raw], ids=["parsed", "raw"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:p%40ss@host", {"p%40ss", "p@ss"}),
        ("https://token@host:6333/a", {"token"}),
        ("https://host/@", set()),
        ("https://[broken@x", set()),
        ("https://[brok:en]@host", set()),
        ("nobody@example.com", set()),
    ],
)
def test_a_password_in_an_address_is_a_secret(
    find: Callable[[Json], tuple[str, ...]], url: str, expected: set[str]
) -> None:
    assert set(find(changed("indexing.url", url))) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, set()),
        ("sk-1", set()),
        ({"openai_key": "a"}, {"a"}),
        ({"deep": [{"indexing": {"api_key": "a"}}]}, {"a"}),
        ({"openai-key": "a", "ApiKey": "b", "COHERE_KEY": "c"}, {"a", "b", "c"}),
        ({"api_key": ["a", {"value": "b"}]}, {"a", "b"}),
        ({"HEADERS": [{"name": "n", "value": "a: b"}]}, {"n", "a: b", "b"}),
        ({"headers": "no colon"}, {"no colon"}),
        ({"api_key": "a: b"}, {"a: b"}),
        ({"api_key": {"headers": "n: a"}}, {"n: a", "a"}),
        ({"api_key": 5, "openai_key": None, 7: "x", "collection": "c"}, set()),
    ],
)
def test_secrets_are_found_in_what_does_not_parse(raw: object, expected: set[str]) -> None:
    assert set(secrets_of_raw(raw)) == expected


@given(JSON)
def test_looking_for_secrets_never_fails(raw: object) -> None:
    assert "" not in secrets_of_raw(raw)


def test_looking_for_secrets_survives_deep_nesting() -> None:
    raw: object = {"api_key": "deep"}
    for _ in range(20_000):
        raw = [raw]

    assert secrets_of_raw(raw) == ("deep",)


def test_secrets_do_not_show_when_a_configuration_is_printed() -> None:
    config = parse_config(changed("embedding", {"mode": "openai", "openai_key": SHIBBOLETH}))

    assert SHIBBOLETH not in repr(config)
    assert SHIBBOLETH not in str(config.embedding)


def test_the_headers_are_lines() -> None:
    raw = changed("indexing.headers", "\n X-Tenant : a b \r\nAuthorization:Basic a:b\n\ncf-access.id:\n")

    assert parse_config(raw).indexing.parsed_headers == (
        ("X-Tenant", "a b"),
        ("Authorization", "Basic a:b"),
        ("cf-access.id", ""),
    )
    assert parse_config(changed("indexing.headers", " \n")).indexing.parsed_headers == ()
    assert parse_config(MINIMAL).indexing.parsed_headers == ()


def test_metadata_may_have_32_levels() -> None:
    raw = changed("indexing.new_collection", {"metadata": nested(32)})

    assert parse_config(raw).indexing.new_collection.parsed_metadata == json.loads(nested(32))


@pytest.mark.parametrize(("key", "kept"), [("", None), (" \n", None), ("Süd 1", "Süd 1")])
def test_a_shard_key_that_is_blank_is_none(key: str, kept: str | None) -> None:
    assert parse_config(changed("indexing.shard_key", key)).indexing.shard_key == kept


def test_authentication_by_key() -> None:
    raw = changed("indexing.auth_method", {"mode": "api_key_auth", "api_key": "k"})

    assert parse_config(raw).indexing.auth_method == ApiKeyAuth(api_key="k")


def test_an_error_of_pydantic_without_a_sentence_still_names_the_field() -> None:
    assert describe({"loc": ("indexing", "url"), "type": "new", "input": 1}, {}) == "indexing.url is not valid"
    assert describe({"loc": ("a",), "type": "int_type", "input": object()}, {}) == (
        "a must be a whole number, not something else"
    )


def test_config_is_the_root() -> None:
    assert isinstance(parse_config(MINIMAL), Config)


def test_an_overlap_as_large_as_the_chunk_still_moves_on() -> None:
    """Airbyte's connector accepted it, so it must not be refused here."""
    assert parse_config(changed("processing.chunk_overlap", 500)).processing.chunk_overlap == 499


def test_an_empty_api_key_is_accepted_as_none() -> None:
    """Airbyte's connector accepted it and sent no key."""
    config = parse_config(changed("indexing.auth_method", {"mode": "api_key_auth", "api_key": ""}))

    assert isinstance(config.indexing.auth_method, ApiKeyAuth)
    assert config.indexing.auth_method.api_key.get_secret_value() == ""
