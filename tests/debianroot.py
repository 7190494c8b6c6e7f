"""A Debian 12 in a folder, made once by debootstrap and kept: nothing but what it takes to install
the package, a broker and its clients. No compiler. It boots: systemd is its first process, with
process ids, mounts, a network and control groups of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from types import TracebackType

from brokers import wait_until

SUITE = "bookworm"
PACKAGES = (
    "init-system-helpers,systemd,systemd-sysv,dbus,python3,libgomp1,libstdc++6,procps,"
    "ca-certificates,mosquitto,mosquitto-clients"
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-agent" / "roots"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}
BOOT = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/run"
# Seen from our own control group namespace.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    for name in cpu cpuacct memory pids; do
        mkdir "$root/sys/fs/cgroup/$name"
        mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/$name"
    done
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
# The loopback interface is the whole network: what is fetched is missed.
ip link set lo up
# Not chroot: the kernel gives a changed root no user namespaces, which PrivateUsers= needs.
mkdir -p "$root/old"
cd "$root"
pivot_root . old
umount -l /old
# As a container manager does it: credentials reach a service by a mount that propagates.
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
"""


def archive() -> Path:
    """The packed root, made now if there is none yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    packed = CACHE / f"{SUITE}-2.tar"
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
    """Boots as a context manager; ``run`` is a root shell in it. Everything dies with it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        folder.mkdir()
        subprocess.run(["tar", "-C", str(folder), "-xf", str(archive())], check=True)
        (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
        (folder / "etc" / "machine-id").write_text("")
        # It lives for one test: no file need survive a power cut.
        (folder / "etc/dpkg/dpkg.cfg.d/quick").write_text("force-unsafe-io\n")
        self._outer: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> DebianRoot:
        command = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork"]
        command += ["--kill-child", "sh", "-c", BOOT, "boot", str(self.path)]
        self._outer = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._booted, 60, "systemd in the new root")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait(30)

    def run(self, script: str, seconds: float = 300) -> str:
        """Standard output of a shell script in the root. A failure shows everything it said."""
        done = self._enter("sh", "-eu", "-c", script, seconds=seconds)
        if done.returncode != 0:
            log = self._enter("journalctl", "--no-pager", "-n", "40", seconds=30).stdout
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{log[-6000:]}"
            raise AssertionError(f"exit status {done.returncode} of:\n{script}\n{said}")
        return done.stdout

    def files(self) -> set[str]:
        """Everything in it that an installation could leave behind."""
        found = set()
        skipped = {"dev", "proc", "sys", "run", "tmp", "root", "old", "var/log", "var/cache"}
        skipped |= {"var/lib/dpkg", "var/lib/apt", "var/tmp", "var/lib/systemd"}
        for parent, folders, names in os.walk(self.path):
            inside = os.path.relpath(parent, self.path)
            if inside in skipped:
                folders.clear()
                continue
            found |= {str(Path(inside, name)) for name in (*folders, *names)}
        return found

    def _booted(self) -> bool:
        assert self._outer is not None
        assert self._outer.poll() is None, "the new root did not boot"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        found = children.read_text().split()
        if not found or b"systemd" not in Path(f"/proc/{found[0]}/cmdline").read_bytes():
            return False
        self._first = int(found[0])
        state = self._enter("systemctl", "is-system-running", seconds=30).stdout.strip()
        return state in {"running", "degraded"}

    def _enter(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        spaces = ["-m", "-p", "-n", "-i", "-u", "-C", "-r", "-w"]
        return subprocess.run(
            ["nsenter", "-t", str(self._first), *spaces, *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=ENVIRONMENT,
        )
