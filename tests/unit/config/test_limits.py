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


def tree(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def seen(root: Path) -> Machine:
    """By a process on a machine of 16 cores and 64 GiB."""
    return detect(root, cores=16, memory_bytes=64 * GIB)


def test_no_limits(tmp_path: Path) -> None:
    assert seen(tmp_path) == Machine(16, 64 * GIB, "machine", "machine")


def test_version_2_in_a_namespace(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": DISK + V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        },
    )
    assert seen(root) == Machine(4, 8 * GIB, "cgroup v2 cpu.max", "cgroup v2 memory.max")


def test_version_2_without_limits(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/a.service\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/user.slice/a.service/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/a.service/cpu.max": "max 100000\n",
        },
    )
    assert seen(root) == Machine(16, 64 * GIB)


def test_the_smallest_of_nested_groups_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/container\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/kubepods/pod1/container/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/kubepods/pod1/container/cpu.max": "max 100000\n",
            "sys/fs/cgroup/kubepods/pod1/memory.max": f"{6 * GIB}\n",
            "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/kubepods/memory.max": f"{32 * GIB}\n",
            "sys/fs/cgroup/unrelated/memory.max": "1000\n",
        },
    )
    assert seen(root) == Machine(2, 6 * GIB, "cgroup v2 cpu.max", "cgroup v2 memory.max")


def test_memory_high_counts_too(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/a/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/a/memory.high": f"{3 * GIB}\n",
        },
    )
    assert (seen(root).memory_bytes, seen(root).memory_from) == (3 * GIB, "cgroup v2 memory.high")


def test_the_hosts_path_seen_from_a_container(tmp_path: Path) -> None:
    """A bind-mounted tree: the path of /proc/self/cgroup starts with the mount's root."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/docker/abc/inner\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/docker/abc"),
            "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/inner/memory.max": f"{GIB}\n",
        },
    )
    assert seen(root).memory_bytes == GIB


@pytest.mark.parametrize("path", ["/../../other", "/docker/not-visible-here"])
def test_a_path_outside_of_the_namespace(tmp_path: Path, path: str) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": f"0::{path}\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
        },
    )
    assert seen(root).memory_bytes == 2 * GIB


def test_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/\n",
            "proc/self/mountinfo": DISK + V1_MOUNTS.format(root="/docker/abc"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GIB}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert seen(root) == Machine(3, 4 * GIB, "cgroup v1 cpu.cfs_quota_us", "cgroup v1 memory.limit_in_bytes")


def test_version_1_without_limits(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "12:memory:/\n4:cpu,cpuacct:/\n",
            "proc/self/mountinfo": V1_MOUNTS.format(root="/"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert seen(root) == Machine(16, 64 * GIB)


def test_version_1_nested(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "12:memory:/a/b\n",
            "proc/self/mountinfo": V1_MOUNTS.format(root="/"),
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": f"{3 * GIB}\n",
        },
    )
    assert seen(root).memory_bytes == 2 * GIB


@pytest.mark.parametrize("text", ["", "garbage", "1:2", "0::", ":::::", "0::/\n\n\x00"])
def test_files_that_make_no_sense_limit_nothing(tmp_path: Path, text: str) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": text,
            "proc/self/mountinfo": f"{text}\n{V2_MOUNT.format(root='/')}",
            "sys/fs/cgroup/memory.max": text,
            "sys/fs/cgroup/cpu.max": text,
        },
    )
    assert seen(root) == Machine(16, 64 * GIB)


def test_a_quota_below_one_core_is_one_core(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2_MOUNT.format(root="/"),
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
        },
    )
    assert seen(root).cores == 1


def test_this_machine() -> None:
    machine = detect()
    assert 1 <= machine.cores <= (psutil.cpu_count() or 1)
    assert 0 < machine.memory_bytes <= psutil.virtual_memory().total
