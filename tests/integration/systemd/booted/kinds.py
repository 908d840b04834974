"""A service of any Type=: reads the file that its first argument names, and says so.

SIGHUP: reads it again. SIGUSR1: answers the watchdog no more. SIGUSR2: gives systemd a descriptor.
"""

import os
import signal
import socket
import sys
import time


def tell(message, fds=()):
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.connect(address)
        socket.send_fds(teller, [message.encode()], fds)


def have():
    with open(sys.argv[1]) as file:
        print("have", file.read(), flush=True)


def was_given():
    """What systemd passes: sockets, and descriptors that it has kept."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        count, names = int(os.environ["LISTEN_FDS"]), os.environ.get("LISTEN_FDNAMES", "")
        for number in range(3, 3 + count):
            os.fstat(number)
        print("was given", names, flush=True)


def into_background():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[3], "w") as file:
        print(os.getpid(), file=file)


def another_is_main():
    """Says so to systemd, and leaves it alone."""
    process = os.fork()
    if process:
        tell(f"MAINPID={process}")
        os._exit(0)


signals = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
was_given()
have()
if sys.argv[2] == "forking":
    into_background()
if sys.argv[2] == "another":
    another_is_main()
tell("READY=1\nSTATUS=I am well")
answering = True
while True:
    came = signal.sigtimedwait(signals, 0.1)
    if answering:
        tell("WATCHDOG=1")
    if came is None:
        continue
    if came.si_signo == signal.SIGHUP:
        tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        have()
        tell("READY=1")
    elif came.si_signo == signal.SIGUSR1:
        answering = False
    else:
        tell("FDSTORE=1\nFDNAME=kept", [0])
