"""Becomes another program that dies with its parent; run as a script, never imported.

    python -I -S spawn.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT…]

It is a program of its own, not a `preexec_fn`, because the supervisor may have threads (gRPC), and
Python code between fork and exec can deadlock there. UID and GID -1 keep the user.
"""

# The order matters. ctypes loads first, while we may still read a closed folder. The death signal
# is set after the change of user, which would clear it; exec keeps it. Then we look whether the
# parent died before the signal was armed.
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drops privileges, ties our life to the parent's, and becomes the program."""
    parent, death_signal, uid, gid = (int(text) for text in arguments[:4])
    command = arguments[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    if uid >= 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    # Python ignores these; the program should meet the defaults.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606  becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
