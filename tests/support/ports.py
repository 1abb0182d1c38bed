"""Free TCP ports on 127.0.0.1, below the ephemeral range so that no outgoing connection takes one in between."""

import random
import socket

LOW, HIGH = 20000, 32000
_given = set()


def free_port():
    """A port nobody listens on now; never given twice by one process."""
    generator = random.SystemRandom()
    for _ in range(2000):
        port = generator.randrange(LOW, HIGH)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port found")
