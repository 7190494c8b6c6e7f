"""Runs a command under a unit's system call filter: ``python unitsandbox.py UNIT COMMAND…``.

systemd isn't the first process where tests run, so its filter is rebuilt: the calls that the
unit's ``SystemCallFilter`` allows, as systemd-analyze expands its groups, everything else answered
with EPERM; and MemoryDenyWriteExecute as the kernel's own PR_SET_MDWE.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 22, 65, 1
SECCOMP_MODE_FILTER = 2
LOAD_NUMBER = (0x20, 0, 0, 0)  # BPF_LD | BPF_W | BPF_ABS: seccomp_data.nr
ALLOW, EPERM = 0x7FFF0000, 0x00050001
HEADERS = (
    "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "/usr/include/asm-generic/unistd.h",
)


def numbers() -> dict[str, int]:
    """System call numbers by name, from the kernel's headers."""
    header = next(Path(name) for name in HEADERS if Path(name).exists())
    return {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    }


def members(group: str) -> set[str]:
    """Calls of one of systemd's groups, with the groups inside it."""
    command = ["systemd-analyze", "--no-pager", "syscall-filter", group]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: set[str] = set()
    for word in listed.split("\n")[1:]:
        name = word.strip()
        if name.startswith("@"):
            found |= members(name)
        elif name and not name.startswith("#"):
            found.add(name)
    return found


def allowed(unit: Path) -> set[int]:
    """Numbers of the calls that ``unit`` allows."""
    names = members("@default")
    for line in unit.read_text().splitlines():
        key, _, value = line.partition("=")
        if key != "SystemCallFilter":
            continue
        groups = set().union(*(members(word) for word in value.lstrip("~").split()))
        names = names - groups if value.startswith("~") else names | groups
    known = numbers()
    return {known[name] for name in names if name in known}


def confine(unit: Path) -> None:
    """Bind this process, and what it executes, to the filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    calls = sorted(allowed(unit))
    program = [LOAD_NUMBER]
    for number in calls:
        # BPF_JMP | BPF_JEQ | BPF_K: equal falls through to "allow", else over it.
        program += [(0x15, 0, 1, number), (0x06, 0, 0, ALLOW)]
    program.append((0x06, 0, 0, EPERM))
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    )
    steps = (
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header)),
    )
    for option, first, second in steps:
        if libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 -- no shell is wanted
