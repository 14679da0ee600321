"""Run the embedded server as a child process while other processes use it. Started by `embedded.py`.

Arguments: the users' lock file, the account that the server runs as ("" = the current one), the server's
command line. Imports only the standard library, because it runs in an isolated interpreter.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.1
STOP_SECONDS = 60


def main(lock: str, account: str, *command: str) -> int:
    """Start the server, stop it when the last shared lock is released, and return its exit status."""
    with open(lock, "a") as users:  # noqa: PTH123 - pathlib would double the time this takes to start
        server = _start(account, command)
        while server.poll() is None:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(POLL_SECONDS)
            else:
                # The exclusive lock makes new users wait until the server has stopped.
                _stop(server)
        return server.returncode


def _start(account: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    keeper = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def die_with_keeper() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != keeper:
                os._exit(1)

    if not account:
        return subprocess.Popen(command, cwd="/", close_fds=False, preexec_fn=die_with_keeper)  # noqa: PLW1509 - one thread here
    entry = pwd.getpwnam(account)
    return subprocess.Popen(
        command,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        cwd="/",
        close_fds=False,  # the server reaches its folder through an inherited descriptor
        preexec_fn=die_with_keeper,  # noqa: PLW1509 - one thread here; runs after the change of user, which resets it
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server by a fast shutdown, which ends open sessions, or else by an immediate one."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
