"""What lines mean, what is refused, what leaves, and that a STATE comes out as it went in."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.errors import ConfigError, SystemFault, TransientError
from destination_qdrant.protocol import (
    Descriptor,
    Ignored,
    MessageWriter,
    Record,
    State,
    StreamStatus,
    TextWriter,
    UnreadableLine,
    exact_data,
    read_message,
    too_long,
    unreadable,
    whole_data,
    with_counts,
)
from destination_qdrant.redaction import Redactor

Json = dict[str, Any]


def record_line(data: str = "{}", **members: object) -> bytes:
    """A RECORD whose data is this JSON text."""
    rest = "".join(f',"{name}":{json.dumps(value)}' for name, value in members.items())
    return f'{{"type":"RECORD","record":{{"stream":"s","data":{data}{rest}}}}}'.encode()


def read_record(line: bytes) -> Record:
    message = read_message(line)
    assert isinstance(message, Record)
    return message


def read_state(state: object) -> State:
    message = read_message(json.dumps({"type": "STATE", "state": state}).encode())
    assert isinstance(message, State)
    return message


STATE_LINE = (
    b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"s"},"stream_state":{"a":1}}}}'
)


# ----------------------------------------------------------------------------------------------------------
# Records


def test_record_is_read_with_everything_it_carries() -> None:
    change = {"field": "a", "change": "NULLED", "reason": "A_REASON_OF_TOMORROW"}
    line = record_line('{"id":1}', namespace="n", emitted_at=1_700_000_000_123, meta={"changes": [change]}, new=[])

    assert read_message(line + b"\r\n") == Record(
        Descriptor("n", "s"), {"id": 1}, 1_700_000_000_123, (change,), line=line + b"\r\n"
    )


def test_a_field_of_vectors_is_not_looked_into() -> None:
    """Its numbers become 32-bit floats, so it does not matter which 64-bit ones they were."""
    line = record_line('{"v":[36893488147419103232],"id":36893488147419103232}')

    read = read_message(line, frozenset({"v"}))
    alone = read_message(record_line('{"v":[36893488147419103232],"id":7}'), frozenset({"v"}))

    assert isinstance(read, Record)
    assert isinstance(alone, Record)
    assert read.data == {"v": [2**65], "id": 2**65}
    assert repr(alone.data) == "{'v': [3.6893488147419103e+19], 'id': 7}"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\n", b"\x0c\n", b"\x0b\r\n"])
def test_blanks_behind_a_line_do_not_matter(end: bytes) -> None:
    record, state = read_message(record_line('{"id":0.10000000000000000555}') + end), read_message(STATE_LINE + end)

    assert isinstance(record, Record)
    assert exact_data(record) == {"id": Decimal("0.10000000000000000555")}
    assert whole_data(record) == {"id": 0.1}
    assert isinstance(state, State)
    assert state.raw == STATE_LINE


def test_wide_integers_beside_the_data_stay_what_they_are() -> None:
    record = read_record(record_line("{}", meta={"changes": [{"field": 2**64}]}))
    state = read_message(STATE_LINE.replace(b'"s"', b"18446744073709551616"))

    assert record.changes == ({"field": 2**64},)
    assert isinstance(state, State)
    assert state.streams[0].name == "18446744073709551616"


def test_record_with_the_null_members_of_pyairbyte_is_read() -> None:
    message = {
        **dict.fromkeys(["log", "spec", "connectionStatus", "catalog", "state", "trace", "control"]),
        "type": "RECORD",
        "record": {
            "stream": "s",
            "data": {"id": 1},
            "namespace": None,
            "emitted_at": 1_700_000_000.5,
            "meta": None,
            "file_reference": None,
        },
    }

    assert read_record(json.dumps(message).encode()).descriptor == Descriptor(None, "s")


@pytest.mark.parametrize("namespace", ["", None, 5])
def test_namespace_that_is_empty_null_or_no_text_is_none(namespace: object) -> None:
    assert read_record(record_line(namespace=namespace)).descriptor == Descriptor(None, "s")


@pytest.mark.parametrize(
    ("emitted_at", "milliseconds"),
    [
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000_123.7, 1_700_000_000_123),
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250),
        (0, 0),
        (-1, None),
        (10**15, None),
        (True, None),
        ("1700000000000", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_emitted_at_is_milliseconds_whatever_the_sender_counts(emitted_at: object, milliseconds: int | None) -> None:
    assert read_record(record_line(emitted_at=emitted_at)).emitted_at == milliseconds


@pytest.mark.parametrize("meta", [None, [], {}, {"changes": None}, {"changes": "x"}, {"changes": [None, 1]}])
def test_meta_out_of_shape_means_no_changes(meta: object) -> None:
    assert read_record(record_line(meta=meta)).changes == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100000000000000000000000000000000", 10**32),
        ("-100000000000000000000000000000000", -(10**32)),
        ("9223372036854775808", 2**63),
        ("-9223372036854775809", -(2**63) - 1),
        ("18446744073709551616", 2**64),
        ("[[0.5, 36893488147419103232]]", [[0.5, 2**65]]),
        ('[0.5, "a", 36893488147419103232]', [0.5, "a", 2**65]),
        ('{"deep": [{"x": 36893488147419103232}]}', {"deep": [{"x": 2**65}]}),
        ("[-36893488147419103232, 0.5]", [-(2**65), 0.5]),
        ("[0.5, 1, -2.5]", [0.5, 1, -2.5]),
        ("1e19", 1e19),
        ("1e400", float("inf")),
        ("-Infinity", float("-inf")),
        (r'"\ud800"', "\ud800"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"a\tb"', "a\tb"),
        ('"a\x00b"', "a\x00b"),
    ],
)
def test_values_come_in_exact(text: str, value: object) -> None:
    """Integers of any length, literals that JSON lacks, lone surrogates and bare control characters all pass."""
    assert read_record(record_line(f'{{"v":{text}}}')).data == {"v": value}


@pytest.mark.parametrize(("sign", "digits"), [("", 4300), ("-", 4299)])
def test_an_integer_of_4300_characters_is_an_integer(sign: str, digits: int) -> None:
    assert read_record(record_line(f'{{"v":{sign}{"1" * digits}}}')).data == {"v": int(sign + "1" * digits)}


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_longer_integer_stays_the_text_it_is(sign: str) -> None:
    line = record_line(f'{{"v":{sign}{"1" * 5000},"w":[{"2" * 4301}],"x":1.25}}')
    text = {"v": sign + "1" * 5000, "w": ["2" * 4301]}

    assert read_record(line).data == {**text, "x": 1.25}
    assert exact_data(read_record(line)) == {**text, "x": Decimal("1.25")}


@pytest.mark.parametrize(
    "number",
    [
        "1.00000000000000000001",
        "0.1234567890123456",
        "9007199254740993.0",
        "9007199254740993e0",  # sixteen digits, and a float keeps fifteen
        "1e400",
        "1E+400",
        "1e-400",
        "1e25",
        "-1e25",
    ],
)
def test_a_fraction_that_a_float_may_not_keep_is_read_again_exactly(number: str) -> None:
    record = read_record(record_line(f'{{"v":[{number}],"w":"text","n":null}}', meta={"changes": []}))

    assert exact_data(record) == {"v": [Decimal(number)], "w": "text", "n": None}


@pytest.mark.parametrize("data", ['{"v":1.5,"w":0.25}', '{"v":0.1234567890123}', '{"v":123456789012345}', "{}"])
def test_a_record_of_ordinary_numbers_is_not_read_again(data: str) -> None:
    record = read_record(record_line(data))

    assert exact_data(record) is record.data


@pytest.mark.parametrize("number", ["1e99999999999999999999", "1e-99999999999999999999"])
def test_a_fraction_beyond_all_decimals_stays_the_text_it_is(number: str) -> None:
    assert exact_data(read_record(record_line(f'{{"v":{number}}}'))) == {"v": number}


def test_broken_bytes_and_literals_are_read_again_as_before() -> None:
    line = record_line('{"v":"a@\tb","w":-Infinity,"x":1e400}').replace(b"@", b"\xff")
    exact = exact_data(read_record(line))

    assert exact["v"] == read_record(line).data["v"]
    assert (exact["w"], exact["x"]) == (float("-inf"), Decimal("1e400"))


def test_of_duplicate_members_the_last_one_is_read_again() -> None:
    line = b'{"type":"RECORD","record":{"data":5},"record":{"stream":"s","data":{"v":1},"data":{"v":1e1,"v":2e1}}}'

    assert exact_data(read_record(line)) == {"v": Decimal(20)}


def test_literal_nan_is_read() -> None:
    value = read_record(record_line('{"v":NaN,"w":1}')).data

    assert value["v"] != value["v"]
    assert value["w"] == 1


def test_bytes_that_are_no_utf8_are_read_and_stay_apart() -> None:
    """Two keys that differ only in broken bytes must not become one."""
    broken = [b"\xed\xa0\x80", b"\xff", b"\xfe", b"\xed\xa0\x81"]

    values = [read_record(record_line('{"v":"a@"}').replace(b"@", each)).data["v"] for each in broken]

    assert all(value.startswith("a") for value in values)
    assert len(set(values)) == len(broken)


def test_of_duplicate_members_the_last_one_counts() -> None:
    assert read_record(record_line('{"v":1,"v":2}')).data == {"v": 2}


def test_a_byte_order_mark_hides_no_record() -> None:
    assert read_record(b"\xef\xbb\xbf" + record_line('{"v":1}')).data == {"v": 1}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nine_hundred_levels_of_nesting_are_read(opening: str) -> None:
    text = opening * 900 + "0" + {"[": "]"}.get(opening, "}") * 900

    assert "v" in read_record(record_line(f'{{"v":{text}}}')).data


@pytest.mark.parametrize("levels", [901, 950, 985, 1000, 1020, 100_000])
@pytest.mark.parametrize("value", ["0", "36893488147419103232", "NaN"])
def test_deeper_nesting_is_refused_like_any_unreadable_line(levels: int, value: str) -> None:
    with pytest.raises(UnreadableLine):
        read_message(record_line(f'{{"v":{"[" * levels}{value}{"]" * levels}}}'))


def test_many_shallow_members_are_not_deep() -> None:
    text = "[" + ",".join(['{"a":[]}'] * 2000) + "]"

    assert len(read_record(record_line(f'{{"v":{text}}}')).data["v"]) == 2000


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"{oops}",
        b'{"type":"RECORD","record":{"stream":"s","data":{',
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":null}',
        b'{"type":"RECORD","record":{"stream":"s","data":null}}',
        b'{"type":"RECORD","record":{"stream":"s","data":[]}}',
        b'{"type":"RECORD","record":{"stream":null,"data":{}}}',
        b'{"type":"RECORD","record":{"data":{}}}',
        b'{"type":"STATE"}',
        b'{"type":"STATE","state":[]}',
        b'{"type":"STATE","state":{"type":"STREAM"}}',
        b'{"type":"STATE","state":{"type":"STREAM","stream":null,"global":null}}',
        b'{"type":"STATE","state":{"type":"GLOBAL","global":[]}}',
        b'{"type":"STATE","state":{"type":"GLOBAL","global":{"stream_states":5}}}',
        b'{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"status":"COMPLETE"}}}',
        b'{"type":"TRACE","trace":{"stream_status":{"stream_descriptor":{"name":"s"},"status":1}}}',
        b'{"type":"TRACE","trace":{"stream_status":{"stream_descriptor":{"name":null},"status":"COMPLETE"}}}',
    ],
)
def test_what_matters_and_cannot_be_read_is_refused(line: bytes) -> None:
    with pytest.raises(UnreadableLine):
        read_message(line)


def test_refusal_names_the_line_and_is_a_fault_of_the_system() -> None:
    error = unreadable(7)

    assert isinstance(error, SystemFault)
    assert error.message.startswith("Line 7 of the input is not a readable Airbyte message")


def test_a_line_that_is_too_long_is_named_with_the_limit() -> None:
    error = too_long(7, 64 * 2**20)

    assert isinstance(error, SystemFault)
    assert error.message.startswith("Line 7 of the input is longer than 64 MiB, which no record is;")


# ----------------------------------------------------------------------------------------------------------
# Everything else that comes in


@pytest.mark.parametrize("line", [b"", b"\n", b"  \t\r\n", b"Starting up ...", b"[1]", b"null", b'"x"', b"\xff\xfe"])
def test_blank_and_foreign_lines_are_no_messages(line: bytes) -> None:
    assert read_message(line) == Ignored(is_message=False)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": ["RECORD"]},
        {"type": "TYPE_OF_TOMORROW"},
        {"type": "LOG", "log": {"level": "INFO", "message": "m"}},
        {"type": "CONTROL", "control": {}},
        {"type": "TRACE"},
        {"type": "TRACE", "trace": {"type": "ESTIMATE", "estimate": {}, "stream_status": None}},
        {"type": "TRACE", "trace": {"type": "ERROR", "error": {}}},
    ],
)
def test_messages_that_ask_nothing_are_ignored(message: Json) -> None:
    assert read_message(json.dumps(message).encode()) == Ignored(is_message=True)


@pytest.mark.parametrize("status", ["COMPLETE", "STARTED", "STATUS_OF_TOMORROW"])
def test_status_is_read_with_whatever_value(status: str) -> None:
    trace = {
        "type": "STREAM_STATUS",
        "emitted_at": 1_700_000_000.5,
        "stream_status": {"stream_descriptor": {"name": "s", "namespace": ""}, "status": status, "reasons": None},
    }

    assert read_message(json.dumps({"type": "TRACE", "trace": trace}).encode()) == StreamStatus(
        Descriptor(None, "s"), status
    )


def test_descriptor_reads_as_in_a_sentence() -> None:
    assert (str(Descriptor("n", "s")), str(Descriptor(None, "s"))) == ("n.s", "s")


# ----------------------------------------------------------------------------------------------------------
# States in


@pytest.mark.parametrize(
    ("stream_state", "is_reset"), [({"c": 1}, False), ({"c": None}, False), ({}, True), (None, True), ("absent", True)]
)
def test_stream_state_names_its_stream_and_whether_it_resets(stream_state: object, *, is_reset: bool) -> None:
    stream: Json = {"stream_descriptor": {"name": "s", "namespace": "n"}}
    if stream_state != "absent":
        stream["stream_state"] = stream_state

    state = read_state({"type": "STREAM", "stream": stream, "id": 3})

    assert (state.kind, state.streams, state.is_reset) == ("STREAM", (Descriptor("n", "s"),), is_reset)


@pytest.mark.parametrize(
    ("content", "streams", "is_reset"),
    [
        ({"stream_states": None}, (), True),
        ({"shared_state": {"lsn": 1}, "stream_states": []}, (), False),
        ({"stream_states": [{"stream_descriptor": {"name": "a"}, "stream_state": None}, None]}, ("a",), True),
        (
            {
                "shared_state": {},
                "stream_states": [
                    {"stream_descriptor": {"name": "a"}, "stream_state": {"c": 1}},
                    {"stream_descriptor": {"name": "b"}},
                    {"stream_descriptor": None},
                ],
            },
            ("a", "b"),
            True,
        ),
    ],
)
def test_global_state_names_its_streams_and_whether_it_resets(
    content: Json, streams: tuple[str, ...], *, is_reset: bool
) -> None:
    state = read_state({"type": "GLOBAL", "global": content})

    assert (state.kind, state.is_reset) == ("GLOBAL", is_reset)
    assert state.streams == tuple(Descriptor(None, name) for name in streams)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"data": {"c": 1}}, "LEGACY"),
        ({"type": None, "data": {"c": 1}}, "LEGACY"),
        ({"type": "LEGACY", "data": {"c": 1}, "stream": {"stream_descriptor": {"name": "s"}}}, "LEGACY"),
        ({"type": ["odd"], "data": {"c": 1}}, "LEGACY"),
        ({"stream": {"stream_descriptor": {"name": "s"}, "stream_state": {"c": 1}}}, "STREAM"),
        ({"type": None, "global": {"shared_state": {"c": 1}}}, "GLOBAL"),
    ],
)
def test_state_without_a_type_is_known_by_its_members(state: Json, kind: str) -> None:
    read = read_state(state)

    assert (read.kind, read.is_reset) == (kind, False)


def test_empty_legacy_state_is_a_reset() -> None:
    assert read_state({"data": {}}).is_reset


def test_state_with_a_member_twice_as_pyairbyte_sends_it_is_read() -> None:
    line = (
        b'{"type":"STATE","state":{"type":"STREAM","global_":null,"global_":null,"global":null,'
        b'"stream":{"stream_descriptor":{"name":"s"},"stream_state":{"c":1}}},"record":null}'
    )

    message = read_message(line + b"\n")

    assert message == State(line, "STREAM", (Descriptor(None, "s"),), is_reset=False)


# ----------------------------------------------------------------------------------------------------------
# States out

BLANKS = st.text(" \t\r", max_size=2)
SCALARS = st.sampled_from(
    ["null", "true", "-0", "1.0", "1E5", "1e-07", "123456789012345678901234567890", '""', r'"\ud800"', r'"\u0041\/"']
) | st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0))
NAMES = st.text(max_size=4).map(json.dumps) | st.sampled_from(['"id"', '"sourceStats"', '"state"', '"a"', r'"\u0061"'])
STATS = st.sampled_from(['"destinationStats"', r'"destination\u0053tats"'])


@st.composite
def member_lists(draw: st.DrawFn, values: st.SearchStrategy[str], *, without: str = "") -> list[str]:
    """Members of an object as JSON text, blanks around everything, names free to repeat."""
    listed = draw(st.lists(st.tuples(NAMES, values), max_size=4))
    return [
        f"{draw(BLANKS)}{name}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}"
        for name, value in listed
        if json.loads(name) not in {"type", without}
    ]


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[ {','.join(items)}]"),
        member_lists(inner).map(lambda members: f"{{{','.join(members)}}}"),
    ),
    max_leaves=8,
)


@st.composite
def splices(draw: st.DrawFn) -> tuple[str, str]:
    """A STATE line, and the same line with @ where the counts must stand."""
    stream = f'"stream" : {{"stream_descriptor":{{"name":"s"}},"stream_state":{draw(VALUES)}}}'
    members = [(member, member) for member in (*draw(member_lists(VALUES)), '"type":"STREAM"', stream)]
    old = draw(st.lists(st.tuples(STATS, VALUES), max_size=2))
    members += [(f"{name}\t: {value} ", f"{name}\t: @ ") for name, value in old]
    members = draw(st.permutations(members))
    given_members, spliced_members = (",".join(side) for side in zip(*members, strict=True))
    prefix = "".join(f"{member}," for member in (*draw(member_lists(VALUES)), '"type":"STATE"')) + draw(BLANKS)
    suffix = draw(BLANKS) + "".join(f",{member}" for member in draw(member_lists(VALUES, without="state")))
    blanks = draw(BLANKS)
    new = "" if old else ',"destinationStats":@'
    return (
        f'{{{prefix}"state":{{{given_members}{blanks}}}{suffix}}}',
        f'{{{prefix}"state":{{{spliced_members}{blanks}{new}}}{suffix}}}',
    )


@given(splices(), st.integers(0, 10**6), st.integers(0, 3))
def test_counts_are_the_only_bytes_of_a_state_that_change(splice: tuple[str, str], count: int, rejected: int) -> None:
    raw, expected = splice
    stats = f'{{"recordCount":{count}.0' + (f',"rejectedRecordCount":{rejected}.0' if rejected else "") + "}"
    message = read_message(raw.encode())
    assert isinstance(message, State)

    spliced = with_counts(message.raw, count, rejected)

    assert message.raw == raw.encode()
    assert spliced == expected.replace("@", stats).encode() or "@" in raw
    parsed = json.loads(raw)
    parsed["state"]["destinationStats"] = json.loads(stats)
    assert json.loads(spliced) == parsed


@pytest.mark.parametrize(
    ("state", "spliced"),
    [
        ("{}", '{"destinationStats":@}'),
        ("{ }", '{ "destinationStats":@}'),
        ('{"data":{}}', '{"data":{},"destinationStats":@}'),
        ('{"destinationStats":null,"id":1}', '{"destinationStats":@,"id":1}'),
        ('{"destinationStats" : {"recordCount":9.0,"x":{}} ,"id":1}', '{"destinationStats" : @ ,"id":1}'),
        ('{"data":{"destinationStats":1}}', '{"data":{"destinationStats":1},"destinationStats":@}'),
        ('{"data":"} \\" {"}', '{"data":"} \\" {","destinationStats":@}'),
        ('{"data":NaN}', '{"data":NaN,"destinationStats":@}'),
        ('{"data":"a\tb"}', '{"data":"a\tb","destinationStats":@}'),
    ],
)
@pytest.mark.parametrize("envelope", ['{"type":"STATE","state":%}', '{"state":null , "state" :\t% ,"type":"STATE" }'])
def test_counts_go_into_the_state_that_counts(envelope: str, state: str, spliced: str) -> None:
    raw = envelope.replace("%", state).encode()
    message = read_message(raw)
    assert isinstance(message, State)

    assert with_counts(message.raw, 3) == envelope.replace("%", spliced.replace("@", '{"recordCount":3.0}')).encode()


def test_numbers_of_our_own_stand_behind_the_counts_as_floats() -> None:
    raw = b'{"type":"STATE","state":{"data":{}}}'
    stats = b'{"recordCount":3.0,"rejectedRecordCount":1.0,"additionalStats":{"chunkCount":12.0,"x":0.5}}'

    assert with_counts(raw, 3, 1, {"chunkCount": 12, "x": 0.5}) == raw[:-2] + b',"destinationStats":' + stats + b"}}"
    assert with_counts(raw, 3, 0, {}) == with_counts(raw, 3)


def test_broken_bytes_of_a_state_stay_as_they_are() -> None:
    raw = b'{"type":"STATE","state":{"data":{"c":"\xff\xed\xa0\x80\xc3\xa9","n":1e400}}}'
    message = read_message(raw)
    assert isinstance(message, State)

    assert with_counts(message.raw, 0) == raw[:-2] + b',"destinationStats":{"recordCount":0.0}}}'


def test_counts_reach_a_deeply_nested_state() -> None:
    raw = b'{"type":"STATE","state":{"data":{"c":' + b"[" * 900 + b"]" * 900 + b"}}}"
    message = read_message(raw)
    assert isinstance(message, State)

    assert with_counts(message.raw, 1) == raw[:-2] + b',"destinationStats":{"recordCount":1.0}}}'


# ----------------------------------------------------------------------------------------------------------
# Lines out


class Pipe(io.BytesIO):
    """A block-buffered pipe: what was not flushed has not left."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def flush(self) -> None:
        self.sent = self.getvalue()


def test_every_message_leaves_at_once_as_one_line() -> None:
    pipe = Pipe()
    writer = MessageWriter(pipe)

    writer.state(b'{"type":"STATE" }')
    assert pipe.sent == b'{"type":"STATE" }\n'
    writer.log("WARN", "two\nlines \ud800 \u00e9")
    writer.spec({"connectionSpecification": {}})
    writer.connection_status(succeeded=True, message="")
    writer.connection_status(succeeded=False, message="no")

    assert [json.loads(line) for line in pipe.sent.splitlines()[1:]] == [
        {"type": "LOG", "log": {"level": "WARN", "message": "two\nlines ? \u00e9"}},
        {"type": "SPEC", "spec": {"connectionSpecification": {}}},
        {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED", "message": ""}},
        {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "FAILED", "message": "no"}},
    ]


@pytest.mark.parametrize(
    ("error", "kind", "internal"),
    [
        (ConfigError("m"), "config_error", "ConfigError: m"),
        (TransientError("m", detail="HTTP 503"), "transient_error", "HTTP 503: m"),
        (SystemFault("m"), "system_error", "SystemFault: m"),
    ],
)
def test_failure_leaves_as_a_trace_that_starts_with_its_type(error: Any, kind: str, internal: str) -> None:
    pipe = Pipe()

    MessageWriter(pipe).error(error, "the stack")

    assert pipe.sent.startswith(b'{"type":"TRACE","trace":{"type":"ERROR","emitted_at":')
    trace = json.loads(pipe.sent)["trace"]
    assert trace["emitted_at"] > 1_600_000_000_000
    assert trace["error"] == {
        "message": "m",
        "internal_message": internal,
        "stack_trace": "the stack",
        "failure_type": kind,
    }


def test_long_texts_of_a_failure_are_cut_to_what_the_platform_takes() -> None:
    pipe = Pipe()

    MessageWriter(pipe).error(SystemFault("m" * 60_000, detail="d" * 60_000), "s" * 200_000)

    error = json.loads(pipe.sent)["trace"]["error"]
    assert [len(error[name]) for name in ("message", "internal_message", "stack_trace")] == [50_000, 50_000, 100_000]


@pytest.mark.parametrize("secret", ["5", '"', "\\", "e", ":", 'a"b\\c', "line one\nline two"])
def test_masked_messages_stay_valid_json_without_the_secret(secret: str) -> None:
    pipe = Pipe()
    writer = MessageWriter(pipe)
    writer.redact(Redactor([secret]))

    writer.error(SystemFault(f"<{secret}> 5 e", detail=secret), f"<{secret!r}>")
    writer.log("INFO", secret)
    writer.connection_status(succeeded=False, message=f"<{secret}>")

    trace, log, status = map(json.loads, pipe.sent.splitlines())
    assert (trace["type"], trace["trace"]["type"]) == ("TRACE", "ERROR")
    texts = [*trace["trace"]["error"].values(), log["log"]["message"], status["connectionStatus"]["message"]]
    texts.remove("system_error")
    assert not [text for text in texts if secret in text]
    assert log["log"]["message"] == "****"


def test_a_state_is_never_masked() -> None:
    pipe = Pipe()

    MessageWriter(pipe, Redactor(["5"])).state(b'{"id":5}')

    assert pipe.sent == b'{"id":5}\n'


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain, größer, 日本 🧑", "plain, größer, 日本 🧑"),
        ("\x1b]0;mine\x07 \x1b[2J", r"\x1b]0;mine\x07 \x1b[2J"),
        ("a\nb\r\tc\x85\u2028", r"a\nb\r\tc\x85\u2028"),
        ("\u202eabc\x9b31m", r"\u202eabc\x9b31m"),
        ("\ud800", "?"),
    ],
)
def test_a_terminal_gets_nothing_that_it_would_obey(said: str, shown: str) -> None:
    pipe = Pipe()
    writer = TextWriter(pipe)
    writer.log("WARN", said)
    writer.error(SystemFault(said), said)

    assert pipe.getvalue().decode() == f"{shown}\n{shown}\n"


def test_a_long_outcome_of_a_check_is_cut_to_what_the_platform_takes() -> None:
    pipe = Pipe()

    MessageWriter(pipe).connection_status(succeeded=True, message="m" * 60_000)

    assert len(json.loads(pipe.sent)["connectionStatus"]["message"]) == 50_000
