"""Several processes that compute as one, on one machine or on many.

They run the same program in the same order. JAX's collectives average gradients and
carry nothing else: what the processes have to tell each other goes over sockets between
process 0 and each of the others. A socket breaks when a process dies, whatever the others
are doing, and waits for as long as process 0 is busy; a collective does neither. Process
0 alone writes files and prints to standard output.

In a program that has not been started as one of several, process 0 of 1, all of this costs
nothing.
"""

import atexit
import contextlib
import itertools
import json
import os
import queue
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from cleannet_jax import errors

# A message is its kind, the number of bytes that follow, and these.
_HEAD = struct.Struct("!cQ")
_DATA, _GONE, _END = b"D", b"G", b"E"

# Seconds: until a machine that no longer answers is given up, that a process that has
# failed is given to say so, and that the first connection may take.
_SILENT, _LAST_WORDS, _JOINING = 30, 5, 60

# What process 0 tells of where it listens: a secret, a port, and an address as text.
_PLACE = struct.Struct("!16sH45s")

# What a process ends with by itself. Anything else may be what it sees of the death of
# another one.
_OWN = (errors.InputError, errors.Interrupted, KeyboardInterrupt, OSError)


class _Link:
    """A connection with another process, read by a thread of its own."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.number = number
        self.received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.ended = threading.Event()
        self.is_lost = False
        self._socket = connection
        self._lock = threading.Lock()
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # How a machine without power is noticed; not every system has all of these.
        for name, value in (
            ("TCP_KEEPIDLE", _SILENT // 3),
            ("TCP_KEEPINTVL", _SILENT // 6),
            ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", 1000 * _SILENT),
        ):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, kind: bytes, content: bytes | memoryview = b"") -> None:
        """Sends a message; if the other process is gone its link's thread says so."""
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(_HEAD.pack(kind, len(content)))
            self._socket.sendall(content)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """The messages that come, until the connection breaks."""
        with contextlib.suppress(OSError):
            while head := _received(self._socket, _HEAD.size):
                kind, size = _HEAD.unpack(head)
                content = _received(self._socket, size)
                if content is None:
                    return
                yield kind, content

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _received(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes; None where the connection ends before."""
    content = bytearray(size)
    place = memoryview(content)
    while len(place):
        count = connection.recv_into(place)
        if not count:
            return None
        place = place[count:]
    return bytes(content)


class _Group:
    """This process among the others: of process 0 links with all, of others with it."""

    def __init__(self, index: int, count: int, links: list[_Link]) -> None:
        self.index, self.count = index, count
        self._links = links
        # Set when this process ends for a reason that it tells itself.
        self._is_leaving = threading.Event()
        self._is_ending = threading.Lock()
        self.is_agreed = False
        for link in links:
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link: _Link) -> None:
        """Takes what comes, and ends this process when the other one is gone."""
        for kind, content in link.messages():
            if kind == _DATA:
                link.received.put(content)
            elif kind == _END:
                if self.index:
                    self._is_leaving.set()
                link.ended.set()
            else:
                self._end(link, **json.loads(content))
        if not link.ended.is_set():
            # Before whoever waits for the end wakes up.
            link.is_lost = True
            link.ended.set()
            self._end(link, f"{_name(link.number, self.count)} is gone", 2)

    def _end(self, link: _Link, text: str, code: int) -> None:
        """Ends this process because of another; process 0 tells the others first."""
        if self._is_leaving.is_set() or not self._is_ending.acquire(blocking=False):
            return
        if not self.index:
            self.tell_reason(text, code, besides=link)
            # The others lose their last link with it: who has failed speaks first.
            deadline = time.monotonic() + _LAST_WORDS
            for other in self._links:
                other.ended.wait(max(deadline - time.monotonic(), 0))
        _say(f"error: {text}; every process ends")
        os._exit(code)

    def tell_reason(self, text: str, code: int, besides: _Link | None = None) -> None:
        """Tells others why they have to end."""
        content = json.dumps({"text": text, "code": code}).encode()
        for link in self._links:
            if link is not besides:
                link.send(_GONE, content)

    def fail(self, text: str, code: int) -> None:
        """Ends the other processes because of this one, which goes on to its own end."""
        if self._is_leaving.is_set():
            return
        if not self._is_ending.acquire(blocking=False):
            # A thread is ending this process already, and says why.
            threading.Event().wait()
        self._is_leaving.set()
        self.tell_reason(f"{_name(self.index, self.count)} {text}", code)
        # JAX would wait for those that are gone.
        atexit.register(_leave, code)

    def finish(self) -> None:
        """Waits until all processes are done; one that is gone after that may be."""
        if self.index:
            self._links[0].send(_END)
        for link in self._links:
            link.ended.wait()
        if any(link.is_lost for link in self._links):
            # A thread is ending this process already, and says why.
            threading.Event().wait()
        self._is_leaving.set()
        if not self.index:
            for link in self._links:
                link.send(_END)

    def close(self) -> None:
        """Closes all links."""
        for link in self._links:
            link.close()

    def gather(self, content: bytes) -> list[bytes]:
        """What every process gives, in order, on process 0; nothing on others."""
        if self.index:
            self._links[0].send(_DATA, content)
            return []
        return [content, *(link.received.get() for link in self._links)]

    def spread(self, content: bytes) -> bytes:
        """What process 0 gives, on every process."""
        if self.index:
            return self._links[0].received.get()
        for link in self._links:
            link.send(_DATA, content)
        return content


_group: _Group | None = None


def _name(number: int, count: int) -> str:
    return f"process {number} (of 0 to {count - 1})"


def _say(line: str) -> None:
    """Writes a line to standard error from a process that is about to end."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os.write(2, f"{line}\n".encode(errors="replace"))


def _leave(code: int) -> NoReturn:
    """Ends this process at once."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def index() -> int:
    """The number of this process, from 0."""
    return _group.index if _group else 0


def count() -> int:
    """How many processes there are."""
    return _group.count if _group else 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return index() == 0


def told(make: Callable[[], Any]) -> Any:
    """What a function returns that process 0 alone calls; JSON has to hold it."""
    if not _group:
        return make()
    content = json.dumps(make()).encode() if is_first() else b""
    return json.loads(_group.spread(content))


def told_arrays(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The values that process 0 has, bit for bit.

    Args:
      arrays: of the same shapes and types on every process.
    """
    if not _group:
        return arrays
    found = []
    for array in arrays:
        content = np.ascontiguousarray(array).tobytes() if is_first() else b""
        flat = np.frombuffer(_group.spread(content), array.dtype)
        found.append(flat.reshape(array.shape))
    return found


def gathered(content: bytes) -> list[bytes]:
    """What each process gives, in their order, on process 0; an empty list on others."""
    return _group.gather(content) if _group else [content]


def highest(value: int) -> int:
    """The highest of the values that the processes give, on all of them."""
    if not _group:
        return value
    values = gathered(str(value).encode())
    return told(lambda: max(map(int, values)))


def wait() -> None:
    """Waits until every process is here."""
    highest(0)


def leave_together() -> None:
    """Says that what this process raises next all others raise too, as all agreed."""
    if _group:
        _group.is_agreed = True


@contextlib.contextmanager
def started(
    *,
    detect: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Iterator[None]:
    """Makes this process one of several, until the end of the block.

    Nothing may have been computed with JAX before. In the block, if one process dies or
    fails, all others end with a line that names it.

    Args:
      detect: whether a cluster that JAX knows says what follows.
      coordinator: HOST:PORT of process 0, by which the others find it.
      num_processes: how many there are.
      process_id: the number of this one, from 0.

    Raises:
      InputError: these do not go together, or the processes do not find each other.
    """
    given = (coordinator, num_processes, process_id)
    _check(detect, *given)
    if not detect and num_processes in (None, 1):
        yield
        return
    _hide_output()
    own, number = _join(detect, *given)
    if number == 1:
        yield
        return
    with _as_group(_Group(own, number, _linked(own, number, coordinator))) as group:
        try:
            yield
            _finish(group)
        except BaseException as error:
            _fail(group, error)
            raise


@contextlib.contextmanager
def _as_group(group: _Group) -> Iterator[_Group]:
    """Has the functions of this module speak of a group."""
    global _group
    _group = group
    try:
        yield group
    finally:
        _group = None


def _check(
    detect: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> None:
    """Raises an InputError for options that do not go together."""
    given = {
        "--coordinator": coordinator,
        "--num-processes": num_processes,
        "--process-id": process_id,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if missing and len(missing) < len(given) and not detect:
        raise errors.InputError(
            f"{missing[0]}: found none, expected it with {', '.join(given)}, or"
            " --distributed"
        )
    if coordinator is not None and not coordinator.rpartition(":")[2].isdecimal():
        raise errors.InputError(
            f"--coordinator: found {coordinator!r}, expected HOST:PORT"
        )
    if num_processes is not None and num_processes < 1:
        raise errors.InputError(
            f"--num-processes: found {num_processes}, expected 1 or more"
        )
    if process_id is not None and not 0 <= process_id < (num_processes or 2**31):
        raise errors.InputError(
            f"--process-id: found {process_id}, expected 0 to --num-processes - 1"
        )


def _hide_output() -> None:
    """Keeps what libraries print out of the output, and other processes' own."""
    output = sys.stdout
    if output is None or output is not sys.__stdout__:
        return
    output.flush()
    place = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = os.fdopen(
        place, "w", encoding=output.encoding, errors=output.errors, buffering=1
    )


def _join(
    detect: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> tuple[int, int]:
    """Joins JAX's runtime; the number of this process and how many there are."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        # Left to itself JAX would look around even where everything is said.
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if detect else "deactivate",
        )
    except (ValueError, RuntimeError) as error:
        place = "--distributed" if coordinator is None else "--coordinator"
        more = ""
        if coordinator is None and "should be defined" in str(error):
            more = (
                "; found no cluster that JAX knows, expected --coordinator,"
                " --num-processes and --process-id"
            )
        line = str(error).splitlines()[0]
        raise errors.InputError(f"{place}: {line}{more}") from None
    # JAX has put its own in their place.
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)
    own, number = jax.process_index(), jax.process_count()
    if own:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    return own, number


def _linked(own: int, number: int, coordinator: str | None) -> list[_Link]:
    """As `_connect`; what JAX cannot do becomes one line."""
    try:
        return _connect(own, number, coordinator)
    except (RuntimeError, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.InputError(
            f"process {own}: the processes cannot compute together, expected as many"
            f" devices in each of them: {line}"
        ) from None


def _connect(own: int, number: int, coordinator: str | None) -> list[_Link]:
    """Links with the other processes: the place to find them at goes by a collective."""
    from jax.experimental import multihost_utils

    listener, place = None, bytes(_PLACE.size)
    if not own:
        # Both kinds of addresses, where the system has them.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        listener = socket.create_server(
            ("", 0), family=family, dualstack_ipv6=both, backlog=number
        )
        address = listener.getsockname()[1], _address().encode()
        place = _PLACE.pack(secrets.token_bytes(16), *address)
    sent = np.frombuffer(place, np.uint8)
    place = np.asarray(multihost_utils.broadcast_one_to_all(sent), np.uint8).tobytes()
    secret, port, text = _PLACE.unpack(place)
    if listener is not None:
        with listener:
            return _accepted(listener, number, secret)
    host = (coordinator or "").rpartition(":")[0].strip("[]")
    deadline = time.monotonic() + _JOINING
    for address in itertools.cycle(filter(None, (host, text.rstrip(b"\0").decode()))):
        try:
            connection = socket.create_connection((address, port), timeout=5)
            connection.sendall(secret + struct.pack("!I", own))
            return [_Link(connection, 0)]
        except OSError as error:
            if time.monotonic() > deadline:
                raise errors.InputError(
                    f"process {own}: process 0 cannot be reached at {address}, port"
                    f" {port}: {error.strerror or error}"
                ) from None
            time.sleep(0.1)
    raise AssertionError("process 0 has an address")


def _accepted(listener: socket.socket, number: int, secret: bytes) -> list[_Link]:
    """Links with all others, in their order."""
    found: dict[int, _Link] = {}
    listener.settimeout(2 * _JOINING)
    while len(found) < number - 1:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            missing = min(set(range(1, number)) - found.keys())
            raise errors.InputError(
                f"process {missing} of {number} has not connected in {2 * _JOINING} s"
            ) from None
        connection.settimeout(5)
        hello = None
        with contextlib.suppress(OSError):
            hello = _received(connection, len(secret) + 4)
        if hello is None or not secrets.compare_digest(hello[:-4], secret):
            connection.close()  # Not one of us.
            continue
        (sender,) = struct.unpack("!I", hello[-4:])
        found[sender] = _Link(connection, sender)
    return [found[sender] for sender in sorted(found)]


def _address() -> str:
    """The address of this machine that others reach it by."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        # Sends nothing: it only asks for the way. The address is one for examples.
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]
    with contextlib.suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.1"


def _fail(group: _Group, error: BaseException) -> None:
    """Tells the others why this process ends."""
    if group.is_agreed:
        _finish(group)
        return
    if not isinstance(error, _OWN):
        # If it comes of another one's death that is known in a moment, and ends us.
        time.sleep(_LAST_WORDS)
    number = getattr(error, "signal_number", None)
    if isinstance(error, KeyboardInterrupt):
        number = error.args[0] if error.args else signal.SIGINT
    if number is not None:
        group.fail("was stopped", 128 + number)
        return
    lines = str(error).splitlines() or [type(error).__name__]
    group.fail(f"has failed: {lines[0]}", 2)


def _finish(group: _Group) -> None:
    """Ends this process's part, together with all others."""
    import jax

    group.finish()
    jax.distributed.shutdown()
    group.close()
