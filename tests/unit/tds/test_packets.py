"""TDS packets, prelogin, login and requests: what one side writes the other reads."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.tds import login7, tls, tokens
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.buffer import ByteReader, NeedMoreData, ProtocolError
from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.metadata import TypeInfo
from mssql_pg_migrate.tds.packets import PacketHeader, PacketStream, PacketType, split_message
from mssql_pg_migrate.tds.prelogin import Encryption, Prelogin
from mssql_pg_migrate.tds.rpc import (
    Parameter,
    RpcCall,
    decode_batch,
    decode_rpc,
    decode_transaction,
    encode_batch,
    encode_rpc,
)
from mssql_pg_migrate.tds.tls import SocketTransport, TlsTransport

names = st.text(st.characters(blacklist_categories=("Cs",)), max_size=60)


class Pipe:
    """A transport that reads from bytes, a few at a time, and keeps what is written."""

    def __init__(self, data: bytes = b"", step: int = 1 << 20) -> None:
        self.data = memoryview(data)
        self.step = step
        self.written = bytearray()

    def recv_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self.data), self.step)
        buffer[:count] = self.data[:count]
        self.data = self.data[count:]
        return count

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


class TestPackets:
    @given(st.binary(max_size=5000), st.integers(512, 4096), st.integers(1, 700))
    def test_a_message_survives_any_packet_size_and_any_pieces_of_the_network(
        self, payload: bytes, size: int, step: int
    ) -> None:
        data = b"".join(split_message(PacketType.SQL_BATCH, payload, size))
        header, received = PacketStream(Pipe(data, step)).read_message() or (None, None)
        assert received == payload
        assert header is not None
        assert header.type == PacketType.SQL_BATCH

    def test_packets_are_numbered_and_only_the_last_one_ends_the_message(self) -> None:
        packets = list(split_message(PacketType.RPC, bytes(1300), 512, status=8))
        headers = [PacketHeader.decode(packet) for packet in packets]
        assert [header.packet_id for header in headers] == [1, 2, 3]
        assert [header.is_last for header in headers] == [False, False, True]
        assert [header.length for header in headers] == [512, 512, 300]
        assert [header.status for header in headers] == [8, 0, 1]

    def test_an_empty_message_is_one_packet(self) -> None:
        assert list(split_message(PacketType.ATTENTION, b"", 4096)) == [bytes((6, 1, 0, 8, 0, 0, 1, 0))]

    def test_the_end_between_messages_is_no_error_and_inside_one_is(self) -> None:
        data = b"".join(split_message(PacketType.SQL_BATCH, bytes(100), 512))
        assert PacketStream(Pipe(b"")).read_message() is None
        for cut in (3, 8, 50):
            with pytest.raises(ConnectionError):
                PacketStream(Pipe(data[:cut])).read_message()

    def test_a_length_below_the_header_is_refused(self) -> None:
        with pytest.raises(ProtocolError):
            PacketStream(Pipe(bytes((4, 1, 0, 7, 0, 0, 0, 0)))).read_message()

    def test_packets_of_another_type_inside_a_message_are_refused(self) -> None:
        first, second = list(split_message(1, bytes(600), 512))
        with pytest.raises(ProtocolError):
            PacketStream(Pipe(first + bytes((3,)) + second[1:])).read_message()

    def test_an_attention_interrupts_a_message(self) -> None:
        first, _ = list(split_message(1, bytes(600), 512))
        attention = b"".join(split_message(PacketType.ATTENTION, b"", 512))
        header, _payload = PacketStream(Pipe(first + attention)).read_message() or (None, None)
        assert header is not None
        assert header.type == PacketType.ATTENTION

    def test_a_message_without_end_is_refused(self) -> None:
        packets = b"".join(list(split_message(1, bytes(100_000), 512))[:-1])
        with pytest.raises(ProtocolError):
            PacketStream(Pipe(packets)).read_message(limit=10_000)


class TestReader:
    def test_a_short_buffer_asks_for_more_and_a_complete_one_is_malformed(self) -> None:
        for read in (
            ByteReader.u8,
            ByteReader.u16,
            ByteReader.u32,
            ByteReader.i64,
            ByteReader.u64,
            ByteReader.b_varchar,
        ):
            with pytest.raises(NeedMoreData):
                read(ByteReader(b""))
            with pytest.raises(ProtocolError) as caught:
                read(ByteReader(b"", complete=True))
            assert not isinstance(caught.value, NeedMoreData)

    def test_a_failed_read_leaves_the_position(self) -> None:
        reader = ByteReader(b"\x05a\x00b")
        with pytest.raises(NeedMoreData):
            reader.b_varchar()
        assert reader.pos == 0


class TestPrelogin:
    @given(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 65535)),
        st.sampled_from(Encryption),
        st.booleans(),
        st.sampled_from((None, True, False)),
    )
    def test_round_trip(
        self, version: tuple[int, int, int], encryption: Encryption, mars: bool, fedauth: bool | None
    ) -> None:
        message = Prelogin(version, encryption, mars, fedauth)
        again = Prelogin.decode(message.encode())
        assert (again.version, again.encryption, again.mars, again.fedauth_required) == (
            version,
            encryption,
            mars,
            fedauth,
        )

    @given(st.binary(max_size=40))
    def test_garbage_is_refused_or_read_but_never_crashes(self, data: bytes) -> None:
        with contextlib.suppress(ProtocolError):
            Prelogin.decode(data)


class TestLogin:
    @given(
        names, names, names, names, st.integers(512, 32767), st.dictionaries(st.integers(1, 254), st.binary(max_size=9))
    )
    def test_round_trip(
        self, user: str, password: str, database: str, app: str, size: int, features: dict[int, bytes]
    ) -> None:
        features.pop(login7.FEATURE_FEDAUTH, None)
        login = Login7(user, password, database, app, "host", "server", packet_size=size, features=features)
        again = Login7.decode(login.encode())
        assert (again.user, again.password, again.database, again.app_name) == (user, password, database, app)
        assert (again.host_name, again.server_name, again.packet_size) == ("host", "server", size)
        assert again.features == features

    def test_an_access_token_travels_as_a_feature(self) -> None:
        again = Login7.decode(Login7(access_token="ey.token").encode())
        assert again.access_token == "ey.token"

    def test_secrets_are_not_shown(self) -> None:
        shown = repr(Login7("u", "geheim", access_token="token-77"))
        assert "geheim" not in shown
        assert "token-77" not in shown

    def test_the_password_is_not_in_the_message_as_it_is(self) -> None:
        encoded = Login7("u", "geheim").encode()
        assert "geheim".encode("utf-16-le") not in encoded
        assert login7.unscramble(login7.scramble(bytes(range(256)))) == bytes(range(256))

    @given(st.binary(max_size=200))
    def test_garbage_is_refused(self, data: bytes) -> None:
        with pytest.raises(ProtocolError):
            Login7.decode(data[:90])


class TestRequests:
    @given(st.text(max_size=200))
    def test_batches(self, sql: str) -> None:
        assert decode_batch(encode_batch(sql)) == sql

    def test_calls_with_parameters(self) -> None:
        text = TypeInfo(type_id=t.NVARCHAR, length=200, collation=bytes(5))
        number = TypeInfo(type_id=t.INTN, length=4)
        calls = [
            RpcCall("sp_executesql", (Parameter("", text, "SELECT @a"), Parameter("@a", number, None))),
            RpcCall("dbo.my proc", (Parameter("@out", number, 7, 1),)),
        ]
        again = decode_rpc(encode_rpc(calls))
        assert again == calls
        assert again[1].parameters[0].is_output

    def test_transactions(self) -> None:
        begin = struct.pack("<IIHQI", 22, 18, 2, 0, 1) + struct.pack("<HBB", 5, 2, 0)
        assert decode_transaction(begin) == (5, 2)

    @given(st.binary(max_size=60))
    def test_garbage_is_refused_or_read_but_never_crashes(self, data: bytes) -> None:
        for decode in (decode_batch, decode_rpc, decode_transaction):
            with contextlib.suppress(ProtocolError):
                decode(data)


class TestTokens:
    EXAMPLES: tuple[Any, ...] = (
        tokens.ServerMessage(208, 1, 16, "Invalid object name 'ü'.", "srv", "proc", 7),
        tokens.ServerMessage(5701, 2, 0, "Changed database context.", is_error=False),
        tokens.EnvChange(tokens.ENV_DATABASE, "new", "old"),
        tokens.EnvChange(tokens.ENV_COLLATION, b"\x09\x04\xd0\x00\x34", b""),
        tokens.EnvChange(tokens.ENV_BEGIN_TRANSACTION, bytes(8), b""),
        tokens.LoginAck("Microsoft SQL Server", (16, 0, 1000)),
        tokens.Done(tokens.DONE_COUNT | tokens.DONE_MORE, tokens.CMD_SELECT, 1 << 40),
        tokens.Done(tokens.DONE_ERROR, token=tokens.DONEPROC),
        tokens.ReturnStatus(-6),
        tokens.ReturnValue(0, "@h", TypeInfo(type_id=t.INTN, length=4), b"\x04\x07\x00\x00\x00"),
        tokens.Order((1, 3)),
        tokens.FeatureExtAck({10: b"\x01", 2: b""}),
    )

    @pytest.mark.parametrize("token", EXAMPLES, ids=lambda token: type(token).__name__)
    def test_round_trip(self, token: Any) -> None:
        assert tokens.read_tokens(token.encode()) == [token]

    @pytest.mark.parametrize("token", EXAMPLES, ids=lambda token: type(token).__name__)
    def test_every_cut_asks_for_more_and_goes_back(self, token: Any) -> None:
        data = token.encode()
        for cut in range(1, len(data)):
            reader = ByteReader(data[:cut])
            with pytest.raises(NeedMoreData):
                tokens.read_token(reader)
            assert reader.pos == 0

    def test_a_length_that_lies_is_malformed_not_a_wait_for_ever(self) -> None:
        data = bytearray(tokens.ServerMessage(1, 1, 16, "text").encode())
        data[1:3] = struct.pack("<H", 9)
        with pytest.raises(ProtocolError) as caught:
            tokens.read_token(ByteReader(bytes(data)))
        assert not isinstance(caught.value, NeedMoreData)

    def test_unknown_tokens_are_refused(self) -> None:
        with pytest.raises(ProtocolError):
            tokens.read_token(ByteReader(b"\x00\x00"))


@pytest.mark.parametrize("in_prelogin", [True, False])
def test_tls_between_both_roles(in_prelogin: bool) -> None:
    certificate = pytest.importorskip("tsql_sandbox.wire.certificate")
    left, right = socket.socketpair()
    client = ssl.create_default_context(cadata=certificate.certificate()[0].decode())
    if in_prelogin:
        tls.limit_to_prelogin(client)
    received: list[bytes] = []

    def serve() -> None:
        transport = TlsTransport(right, certificate.tls_context(), server_side=True, in_prelogin=in_prelogin)
        stream = PacketStream(transport)
        message = stream.read_message()
        assert message is not None
        received.append(message[1])
        stream.write_message(PacketType.TABULAR_RESULT, message[1][::-1])

    thread = threading.Thread(target=serve)
    thread.start()
    stream = PacketStream(TlsTransport(left, client, server_hostname="localhost", in_prelogin=in_prelogin))
    payload = bytes(range(256)) * 1000
    stream.write_message(PacketType.SQL_BATCH, payload)
    answer = stream.read_message()
    thread.join(10)
    left.close()
    right.close()
    assert received == [payload]
    assert answer is not None
    assert answer[1] == payload[::-1]


def test_a_client_that_distrusts_the_certificate_is_told_why() -> None:
    certificate = pytest.importorskip("tsql_sandbox.wire.certificate")
    left, right = socket.socketpair()
    failures: list[Exception] = []

    def serve() -> None:
        try:
            TlsTransport(right, certificate.tls_context(), server_side=True)
        except (ssl.SSLError, OSError) as error:
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsTransport(left, tls.limit_to_prelogin(ssl.create_default_context()), server_hostname="localhost")
    thread.join(10)
    assert len(failures) == 1
    left.close()
    right.close()


def test_a_plain_transport_is_the_socket() -> None:
    left, right = socket.socketpair()
    SocketTransport(left).sendall(b"abc")
    buffer = bytearray(8)
    assert SocketTransport(right).recv_into(memoryview(buffer)) == 3
    left.close()
    right.close()
