"""What this process may use: the container's limits where there are any, the machine's size otherwise.

Reads the control groups of Linux, version 2 (``memory.max``, ``memory.high``, ``cpu.max``) and version 1
(``memory.limit_in_bytes``, ``cpu.cfs_quota_us``), of the process's own group and of every group above it: the
smallest limit counts. File formats: the kernel's ``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60
"""Version 1 writes 'no limit' as a number near 2**63."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores and memory to plan with, and where each number comes from."""

    cores: int
    memory_bytes: int
    cores_from: str = "machine"
    memory_from: str = "machine"


@dataclass(frozen=True, slots=True)
class _Mount:
    """A mounted control group hierarchy: which group (``root``) is visible where (``point``)."""

    version: int
    root: str
    point: Path
    controllers: frozenset[str]


def detect(root: Path = Path("/"), *, cores: int | None = None, memory_bytes: int | None = None) -> Machine:
    """The machine as this process sees it. ``root`` and the machine's own size can be given for tests."""
    memory, memory_from = (_physical_memory() if memory_bytes is None else memory_bytes), "machine"
    count, cores_from = (_usable_cores() if cores is None else cores), "machine"
    for limit, source in _memory_limits(root):
        if limit < memory:
            memory, memory_from = limit, source
    for quota, source in _cpu_limits(root):
        whole = max(1, math.ceil(quota))
        if whole < count:
            count, cores_from = whole, source
    return Machine(max(count, 1), memory, cores_from, memory_from)


def _physical_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _usable_cores() -> int:
    """Cores this process may run on (affinity), not those of the machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is not None:
        return len(affinity(0))
    return os.cpu_count() or 1


def _memory_limits(root: Path) -> Iterator[tuple[int, str]]:
    for mount, folder in _groups(root, "memory"):
        names = ("memory.max", "memory.high") if mount.version == 2 else ("memory.limit_in_bytes",)
        for name in names:
            words = _read(folder / name).split()
            if words and words[0].isdigit() and 0 < int(words[0]) < _UNLIMITED:
                yield int(words[0]), f"cgroup v{mount.version} {name}"


def _cpu_limits(root: Path) -> Iterator[tuple[float, str]]:
    for mount, folder in _groups(root, "cpu"):
        if mount.version == 2:
            words = _read(folder / "cpu.max").split()
            quota, period = (words[0], words[1]) if len(words) == 2 else ("max", "0")
            name = "cpu.max"
        else:
            quota, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
            name = "cpu.cfs_quota_us"
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period), f"cgroup v{mount.version} {name}"


def _groups(root: Path, controller: str) -> Iterator[tuple[_Mount, Path]]:
    """Folders of the process's group and of those above it, for each hierarchy that has the controller."""
    paths = _own_groups(root)
    for mount in _mounts(root):
        if mount.version == 1 and controller not in mount.controllers:
            continue
        path = paths.get("" if mount.version == 2 else controller)
        if path is None:
            continue
        folder = mount.point / _below(path, mount.root)
        while True:
            if folder.is_dir():
                yield mount, folder
            if folder == mount.point:
                break
            folder = folder.parent


def _below(path: str, mounted: str) -> str:
    """The group's path inside the mount; a path outside of it (another namespace's view) means the mount itself."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        return ""
    above = [part for part in mounted.split("/") if part]
    if parts[: len(above)] == above:
        return "/".join(parts[len(above) :])
    return ""


def _own_groups(root: Path) -> dict[str, str]:
    """Controller -> path of this process's group; the empty name is version 2."""
    groups: dict[str, str] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                groups[controller] = fields[2]
    return groups


def _mounts(root: Path) -> list[_Mount]:
    found: list[_Mount] = []
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        point = root / fields[4].replace("\\040", " ").lstrip("/")
        version = 2 if kind[0] == "cgroup2" else 1
        found.append(_Mount(version, fields[3], point, frozenset(kind[2].split(","))))
    return found


def _read(path: Path) -> str:
    """The file's text, empty when it is not there or not readable: then it limits nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
