"""Becomes another program that dies with its parent; run as a script, never imported.

    python -I -S spawn.py PARENT_PID DEATH_SIGNAL UID GID NICENESS PROGRAM [ARGUMENT…]

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
import time

_PR_SET_PDEATHSIG = 1
_ATTEMPTS = 20
_PAUSE_S = 0.05


def main(arguments: list[str]) -> None:
    """Drops privileges, ties our life to the parent's, and becomes the program."""
    parent, death_signal, uid, gid, niceness = (int(text) for text in arguments[:5])
    command = arguments[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    if niceness:
        give_way(niceness)
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
    os.execv(command[0], command)  # noqa: S606  becoming it is the point # nosec B606


def give_way(niceness: int) -> None:
    """Lowers our priority, and that of our session: where the kernel shares time out among sessions
    first, a process's own niceness says nothing to the processes of others.
    """
    os.nice(niceness)
    for _ in range(_ATTEMPTS):
        try:
            with open("/proc/self/autogroup", "w") as file:  # noqa: PTH123  a short start
                file.write(str(niceness))
        except BlockingIOError:
            # One session at a time may change, ten in a second.
            time.sleep(_PAUSE_S)
        except OSError:
            return
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
