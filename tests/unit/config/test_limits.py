"""Container limits, read from made-up but true to life cgroup trees."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mssql_pg_migrate.config.limits import Machine, detect

GIB = 1 << 30
V2_MOUNT = "35 24 0:30 {root} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "40 30 0:33 {root} /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n"
    "41 30 0:34 {root} /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:16 - cgroup cgroup rw,cpu,cpuacct\n"
)
DISK = "24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
UNLIMITED = Machine(16, 64 * GIB, "machine", "machine")
Files = dict[str, str]


def seen(root: Path, files: Files) -> Machine:
    """By a process on a machine of 16 cores and 64 GiB, with these files below ``root``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return detect(root, cores=16, memory_bytes=64 * GIB)


def groups(membership: str, mounts: str, limits: Files) -> Files:
    """What the process is in, what is mounted, and limits by their path below the mount point."""
    below = {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in limits.items()}
    return {"proc/self/cgroup": membership, "proc/self/mountinfo": mounts, **below}


def version_2(group: str, limits: Files, *, root: str = "/") -> Files:
    """The unified tree: a process in ``group``, of which ``root`` is mounted."""
    return groups(f"0::{group}\n", DISK + V2_MOUNT.format(root=root), limits)


def version_1(group: str, limits: Files, *, root: str = "/") -> Files:
    """A tree for each controller."""
    membership = f"12:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:/x\n0::/\n"
    return groups(membership, DISK + V1_MOUNTS.format(root=root), limits)


MACHINES = {
    "no cgroups": ({}, UNLIMITED),
    "version 2 in a namespace": (
        version_2("/", {"memory.max": f"{8 * GIB}", "cpu.max": "400000 100000"}),
        Machine(4, 8 * GIB, "cgroup v2 cpu.max", "cgroup v2 memory.max"),
    ),
    "version 2 without limits": (
        version_2(
            "/user.slice/a.service",
            {"user.slice/a.service/memory.max": "max", "user.slice/a.service/cpu.max": "max 100000"},
        ),
        UNLIMITED,
    ),
    "the smallest of nested groups counts": (
        version_2(
            "/kubepods/pod1/container",
            {
                "kubepods/pod1/container/memory.max": f"{8 * GIB}",
                "kubepods/pod1/container/cpu.max": "max 100000",
                "kubepods/pod1/memory.max": f"{6 * GIB}",
                "kubepods/pod1/cpu.max": "150000 100000",
                "kubepods/memory.max": f"{32 * GIB}",
                "unrelated/memory.max": "1000",
            },
        ),
        Machine(2, 6 * GIB, "cgroup v2 cpu.max", "cgroup v2 memory.max"),
    ),
    "memory.high counts too": (
        version_2("/a", {"a/memory.max": f"{8 * GIB}", "a/memory.high": f"{3 * GIB}"}),
        Machine(16, 3 * GIB, "machine", "cgroup v2 memory.high"),
    ),
    "a bind-mounted tree: the path begins with the mount's root": (
        version_2("/docker/abc/inner", {"memory.max": f"{2 * GIB}", "inner/memory.max": f"{GIB}"}, root="/docker/abc"),
        Machine(16, GIB, "machine", "cgroup v2 memory.max"),
    ),
    "a path outside of the namespace": (
        version_2("/../../other", {"memory.max": f"{2 * GIB}"}),
        Machine(16, 2 * GIB, "machine", "cgroup v2 memory.max"),
    ),
    "a path that is not visible": (
        version_2("/docker/not-visible-here", {"memory.max": f"{2 * GIB}"}),
        Machine(16, 2 * GIB, "machine", "cgroup v2 memory.max"),
    ),
    "a quota below one core is one core": (
        version_2("/", {"cpu.max": "50000 100000"}),
        Machine(1, 64 * GIB, "cgroup v2 cpu.max", "machine"),
    ),
    "version 1": (
        version_1(
            "/docker/abc",
            {
                "memory/memory.limit_in_bytes": f"{4 * GIB}",
                "cpu,cpuacct/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            root="/docker/abc",
        ),
        Machine(3, 4 * GIB, "cgroup v1 cpu.cfs_quota_us", "cgroup v1 memory.limit_in_bytes"),
    ),
    "version 1 without limits": (
        version_1(
            "/",
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
        ),
        UNLIMITED,
    ),
    "version 1 nested": (
        version_1(
            "/a/b",
            {"memory/a/memory.limit_in_bytes": f"{2 * GIB}", "memory/a/b/memory.limit_in_bytes": f"{3 * GIB}"},
        ),
        Machine(16, 2 * GIB, "machine", "cgroup v1 memory.limit_in_bytes"),
    ),
}


@pytest.mark.parametrize("case", MACHINES)
def test_limits(tmp_path: Path, case: str) -> None:
    files, expected = MACHINES[case]
    assert seen(tmp_path, files) == expected


@pytest.mark.parametrize("text", ["", "garbage", "1:2", "0::", ":::::", "0::/\n\n\x00"])
def test_files_that_make_no_sense_limit_nothing(tmp_path: Path, text: str) -> None:
    files = groups(text, f"{text}\n{V2_MOUNT.format(root='/')}", {"memory.max": text, "cpu.max": text})
    assert seen(tmp_path, files) == UNLIMITED


def test_this_machine() -> None:
    machine = detect()
    assert 1 <= machine.cores <= (psutil.cpu_count() or 1)
    assert 0 < machine.memory_bytes <= psutil.virtual_memory().total
