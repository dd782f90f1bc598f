"""What Microsoft's driver links to on Linux and this machine may lack: stand-ins, so that it loads anyway.

The driver library of the ``mssql-python-odbc`` wheel names three system libraries: libtool's loader (``libltdl``,
through ``libodbcinst``), Kerberos and GSSAPI. Slim containers and fresh servers often have none of them, and then the
driver cannot even be loaded, although a login with user and password or with an access token uses none of the three:
the loader is for the graphical dialogs of ODBC's installer, the others for integrated authentication.

For each one that is missing, a shared library of that name without anything in it but functions that fail is made in
memory and loaded first. The dynamic loader recognises a library by its DT_SONAME, so the driver is bound to it (glibc;
other loaders go by path, and there nothing is done). The libraries of the system are used wherever they exist.

The layout follows the System V ABI (ELF-64) and the Linux Standard Base's symbol versions.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_PAGE = 0x10000  # also right where pages are smaller

# Functions of no argument that are looked at: "return 0" and "return GSS_S_FAILURE (13 << 16)", for each e_machine.
_CODE = {
    62: (bytes.fromhex("31c0c3"), bytes.fromhex("b800000d00c3")),  # x86-64
    183: (bytes.fromhex("000080d2c0035fd6"), bytes.fromhex("a001a052c0035fd6")),  # AArch64
}
_MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183}


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library by its DT_SONAME, with the symbols the driver binds when it is loaded.

    ``failing`` functions return a non-zero status, ``empty`` ones 0 or NULL; ``data`` are pointers that are NULL.
    """

    soname: str
    version: str | None
    failing: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


LOADER = "libltdl.so.7"

LIBRARIES = (
    Library(
        LOADER,
        None,
        failing=("lt_dlinit", "lt_dlexit", "lt_dlclose", "lt_dlsetsearchpath", "lt_dladdsearchdir"),
        empty=("lt_dlopen", "lt_dlopenext", "lt_dlsym", "lt_dlerror", "lt_dlgetsearchpath"),
    ),
    Library(
        "libkrb5.so.3",
        "krb5_3_MIT",
        failing=(
            "krb5_init_context",
            "krb5_get_host_realm",
            "krb5_free_host_realm",
            "krb5_get_default_realm",
            "krb5_cc_default",
            "krb5_cc_get_principal",
            "krb5_cc_close",
            "krb5_parse_name",
            "krb5_unparse_name",
        ),
        empty=(
            "krb5_free_context",
            "krb5_free_principal",
            "krb5_free_default_realm",
            "krb5_free_unparsed_name",
            "krb5_free_error_message",
            "krb5_get_error_message",
        ),
    ),
    Library(
        "libgssapi_krb5.so.2",
        "gssapi_krb5_2_MIT",
        failing=(
            "gss_acquire_cred",
            "gss_acquire_cred_with_password",
            "gss_add_cred",
            "gss_canonicalize_name",
            "gss_compare_name",
            "gss_context_time",
            "gss_delete_sec_context",
            "gss_display_name",
            "gss_display_status",
            "gss_import_name",
            "gss_init_sec_context",
            "gss_inquire_context",
            "gss_inquire_cred",
            "gss_release_buffer",
            "gss_release_cred",
            "gss_release_name",
            "gss_release_oid_set",
            "gss_unwrap",
            "gss_wrap",
        ),
        data=(
            "GSS_C_NT_USER_NAME",
            "GSS_C_NT_HOSTBASED_SERVICE",
            "GSS_KRB5_NT_PRINCIPAL_NAME",
            "gss_mech_krb5",
        ),
    ),
)


@cache
def supply_missing() -> tuple[str, ...]:
    """Call before the driver is loaded: the sonames that are missing here and were stood in for.

    Empty where nothing is missing, and where nothing can be done (then loading the driver says what is missing).
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return ()
    machine = _MACHINES.get(platform.machine().lower())
    if machine is None or struct.calcsize("P") != 8 or sys.byteorder != "little":
        return ()
    missing = [library for library in LIBRARIES if _missing(library.soname)]
    with contextlib.ExitStack() as files:
        return tuple(library.soname for library in missing if _load(library, machine, files))


def _missing(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return True
    return False


def _load(library: Library, machine: int, files: contextlib.ExitStack) -> bool:
    """Load the stand-in for good. Not globally: nobody but the driver shall find its symbols.

    Its file stays open as long as ``files``: the loader takes two libraries of one path (descriptor) for the same.
    """
    try:
        file = os.memfd_create(library.soname)
        files.callback(os.close, file)
        os.write(file, shared_object(library, machine))
        ctypes.CDLL(f"/proc/self/fd/{file}")
    except OSError:  # a system that runs nothing from memory
        return False
    return True


def shared_object(library: Library, machine: int) -> bytes:
    """A complete ELF-64 shared object (little endian) for that ``e_machine``; its length is a few bytes over 64 KiB.

    One segment is read and executed (symbols, versions, code), one is written (dynamic section, data).
    """
    zero, failure = _CODE[machine]
    names = _Strings()
    soname = names.add(library.soname)
    symbols = [bytes(24)]
    functions = library.failing + library.empty
    count = 1 + len(functions) + len(library.data)

    tables_at = 64 + 4 * 56
    hash_at = tables_at
    symbols_at = _aligned(hash_at + 4 * (2 + 1 + count))
    version_at = _aligned(symbols_at + 24 * count)
    definition_at = _aligned(version_at + 2 * count)
    code_at = _aligned(definition_at + 2 * (20 + 8), 16)
    zero_at, failure_at = code_at, code_at + 16
    strings_at = code_at + 32
    dynamic_at = _PAGE
    data_at = dynamic_at + 16 * 16

    for name in functions:
        at = failure_at if name in library.failing else zero_at
        symbols.append(_symbol(names.add(name), kind=2, value=at, size=16, section=1))
    for position, name in enumerate(library.data):
        symbols.append(_symbol(names.add(name), kind=1, value=data_at + 8 * position, size=8, section=2))

    dynamic = [(14, soname), (4, hash_at), (5, strings_at), (6, symbols_at), (11, 24)]
    definition = b""
    if library.version is not None:
        definition = _version_definitions(library.soname, soname, library.version, names.add(library.version))
        dynamic += [(0x6FFFFFF0, version_at), (0x6FFFFFFC, definition_at), (0x6FFFFFFD, 2)]
    strings = names.bytes()
    dynamic += [(10, len(strings)), (0, 0)]
    read_size = strings_at + len(strings)
    written = b"".join(struct.pack("<QQ", tag, value) for tag, value in dynamic)
    written = written.ljust(data_at - dynamic_at, b"\0") + bytes(8 * len(library.data))

    image = bytearray(dynamic_at)
    _put(image, 0, _header(machine, segments=4))
    segments = (
        (1, 5, 0, read_size),
        (1, 6, dynamic_at, len(written)),
        (2, 6, dynamic_at, 16 * len(dynamic)),
        (0x6474E551, 6, 0, 0),  # PT_GNU_STACK: the stack need not be executable
    )
    for index, segment in enumerate(segments):
        _put(image, 64 + 56 * index, _segment(*segment))
    _put(image, hash_at, _hash_table(count))
    _put(image, symbols_at, b"".join(symbols))
    _put(image, version_at, struct.pack(f"<{count}H", 0, *[2] * (count - 1)))
    _put(image, definition_at, definition)
    _put(image, zero_at, zero)
    _put(image, failure_at, failure)
    _put(image, strings_at, strings)
    return bytes(image) + written


class _Strings:
    """A string table: NUL-terminated names, the first one empty."""

    def __init__(self) -> None:
        self._bytes = bytearray(b"\0")

    def add(self, name: str) -> int:
        at = len(self._bytes)
        self._bytes += name.encode("ascii") + b"\0"
        return at

    def bytes(self) -> bytes:
        return bytes(self._bytes)


def _put(image: bytearray, at: int, data: bytes) -> None:
    image[at : at + len(data)] = data


def _aligned(at: int, to: int = 8) -> int:
    return -(-at // to) * to


def _header(machine: int, *, segments: int) -> bytes:
    identification = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)  # 64 bits, little endian, version 1, System V
    return identification + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, segments, 64, 0, 0)


def _segment(kind: int, flags: int, at: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, _PAGE if kind == 1 else 8)


def _symbol(name: int, *, kind: int, value: int, size: int, section: int) -> bytes:
    return struct.pack("<IBBHQQ", name, 1 << 4 | kind, 0, section, value, size)  # STB_GLOBAL


def _hash_table(count: int) -> bytes:
    """One bucket with all symbols: there are few."""
    chain: Sequence[int] = [0, *range(2, count), 0] if count > 1 else [0]
    return struct.pack(f"<{2 + 1 + count}I", 1, count, 1 if count > 1 else 0, *chain)


def _version_definitions(soname: str, soname_at: int, version: str, version_at: int) -> bytes:
    """The file's own entry (VER_FLG_BASE) and one version, each with the one name it has."""
    first = struct.pack("<HHHHIII", 1, 1, 1, 1, _elf_hash(soname), 20, 28) + struct.pack("<II", soname_at, 0)
    second = struct.pack("<HHHHIII", 1, 0, 2, 1, _elf_hash(version), 20, 0) + struct.pack("<II", version_at, 0)
    return first + second


def _elf_hash(name: str) -> int:
    """The hash function of the System V ABI."""
    value = 0
    for byte in name.encode("ascii"):
        value = (value << 4) + byte
        high = value & 0xF0000000
        value ^= high >> 24
        value &= ~high
    return value
