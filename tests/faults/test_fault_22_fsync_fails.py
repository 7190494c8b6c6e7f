from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.config.settings import StoreSection
from edge_agent.store.database import Store

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) {
    const char *flag = getenv("FSYNC_FAILS");
    return flag && !access(flag, F_OK);
}
int fsync(int fd) {
    static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (broken()) { errno = EIO; return -1; } return real(fd);
}
int fdatasync(int fd) {
    static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (broken()) { errno = EIO; return -1; } return real(fd);
}
"""
VICTIM = """
import sys
from pathlib import Path
from findings import outgoing
from edge_agent.config.settings import StoreSection
from edge_agent.store.connection import DiskFailed
from edge_agent.store.database import Store

state, flag = Path(sys.argv[1]), Path(sys.argv[2])
store = Store.open(state, StoreSection(ballast_mb=0))
store.outbox.add([outgoing("before")], 0)
flag.touch()
try:
    store.persist(lambda: store.outbox.add([outgoing("during")], 0))
except DiskFailed as error:
    print(error, flush=True)
    sys.exit(1)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the shim")
def test_fault_22_a_failed_fsync_ends_the_process_and_a_new_one_opens_anew(tmp_path: Path) -> None:
    source, shim, flag = tmp_path / "shim.c", tmp_path / "shim.so", tmp_path / "broken"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    state = tmp_path / "state"
    victim = subprocess.run(
        [sys.executable, "-c", VICTIM, str(state), str(flag)],
        env={
            **os.environ,
            "LD_PRELOAD": str(shim),
            "FSYNC_FAILS": str(flag),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert victim.returncode == 1, victim.stderr
    assert "did not keep what was written" in victim.stdout
    store = Store.open(state, StoreSection(ballast_mb=0))
    keys = [message.key for _, message in store.outbox.pending(10, 0)]
    assert keys[0] == "before"
    assert store.alarms == []
    store.close()
