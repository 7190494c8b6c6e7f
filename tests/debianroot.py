"""A Debian 12 in a folder, made once by debootstrap and kept: nothing but what it takes to install
the package, a broker and its clients. No compiler."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "init-system-helpers,python3,libgomp1,libstdc++6,procps,ca-certificates,"
    "mosquitto,mosquitto-clients"
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-agent" / "roots"
DYNAMIC_USER = 61184
"""The first number of those that systemd gives to a DynamicUser."""

# In a network of its own that is nothing but the loopback interface: what is fetched is missed.
ENTER = """
ip link set lo up
mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/run"
exec chroot "$1" /bin/sh -eu -c "$2"
"""
SYSTEMCTL = f"""#!/bin/sh
# Stands in for systemd, which can't be the first process here: runs ExecStart of a unit file.
unit=/lib/systemd/system/$2.service
case "$1" in
    start) ;;
    *) exit 0 ;;
esac
command=$(sed -n 's/^ExecStart=//p' "$unit")
case "$2" in
    edge-agent)
        install -d -o {DYNAMIC_USER} -g {DYNAMIC_USER} -m 700 /var/lib/edge-agent
        command="setpriv --reuid {DYNAMIC_USER} --regid {DYNAMIC_USER} --clear-groups $command" ;;
    mosquitto) install -d -o mosquitto /run/mosquitto ;;
esac
$command >>"/var/log/$2.log" 2>&1 &
"""


def archive() -> Path:
    """The packed root, made now if there is none yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    packed = CACHE / f"{SUITE}-1.tar"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not packed.exists():
            fresh = CACHE / f"fresh-{os.getpid()}"
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE]
            subprocess.run([*command, str(fresh)], check=True, capture_output=True)
            partial = packed.with_suffix(".partial")
            clean = ["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./dev/*"]
            subprocess.run(["tar", "-C", fresh, *clean, "-cf", partial, "."], check=True)
            partial.rename(packed)
            subprocess.run(["rm", "-rf", str(fresh)], check=True)
    return packed


class DebianRoot:
    """``run`` commands in it as root; every process that they leave behind is killed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        folder.mkdir()
        subprocess.run(["tar", "-C", str(folder), "-xf", str(archive())], check=True)
        shim = folder / "usr" / "local" / "bin" / "systemctl"
        shim.write_text(SYSTEMCTL)
        shim.chmod(0o755)
        (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    def run(self, script: str, seconds: float = 240) -> str:
        """Standard output of a shell script in the root. A failure shows everything it said."""
        command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-eu"]
        done = subprocess.run(
            [*command, "-c", ENTER, "enter", str(self.path), script],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "DEBIAN_FRONTEND": "noninteractive",
                "LC_ALL": "C.UTF-8",
                "HOME": "/root",
            },
        )
        logs = "".join(p.read_text()[-3000:] for p in self.path.glob("var/log/edge-agent.log"))
        assert done.returncode == 0, (
            f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
        )
        return done.stdout

    def files(self) -> set[str]:
        """Everything in it that an installation could leave behind."""
        found = set()
        skipped = ("dev", "proc", "run", "tmp", "root", "var/log", "var/cache", "var/lib/dpkg")
        for parent, folders, names in os.walk(self.path):
            inside = os.path.relpath(parent, self.path)
            if inside in skipped or inside == "var/lib/apt":
                folders.clear()
                continue
            found |= {os.path.join(inside, name) for name in (*folders, *names)}  # noqa: PTH118
        return found
