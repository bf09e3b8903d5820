"""Where engines listen: a loopback address that changes with each start, in a network of their own if possible."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

from tests.infrastructure.cloudformation import ROOT
from tools.local.private_network import listen, unguessable_address

PROBE = """
import socket
from tools.local.private_network import Listeners, enter_private_network, listen, unguessable_address

listeners = Listeners.open(0)
entered = enter_private_network()
with listen(unguessable_address(), 0) as inside, socket.create_connection(inside.getsockname(), timeout=5):
    pass
try:
    socket.create_connection(listeners.gateway.getsockname(), timeout=5).close()
    reaches_outside = True
except ConnectionRefusedError:
    reaches_outside = False
print(entered, reaches_outside)
"""


def test_addresses_are_loopbacks_and_differ() -> None:
    addresses = {unguessable_address() for _ in range(100)}

    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)
    assert len(addresses) > 90
    with listen(addresses.pop(), 0) as listener:
        assert listener.getsockname()[1] > 0


def test_process_in_a_network_of_its_own_reaches_itself_and_nothing_else() -> None:
    result = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    entered, reaches_outside = result.stdout.split()
    assert (entered == "True") != (reaches_outside == "True")  # it is either in a network of its own, or left as it was
