"""Reads the routing scenario from the URL and the TO pair.

Source: OCPI 2.2.1, transport_and_format § Message Routing. Rules RT-11, BP-01, OR-01, GA-01, AM-13, AM-14, AM-45; decisions
D-01, D-15, D-29.
"""

from hub.model.envelope import Scenario
from hub.ocpi.modules import Interface, OpenKey, Operation, TrafficClass


def classify(operation: Operation, interface: Interface, *, names_party: bool) -> Scenario:
    """The scenario; `names_party` is whether TO names a party other than the hub itself."""
    if operation.open_key is OpenKey.ISSUED_URL:
        return Scenario.CALLBACK
    if names_party:
        return Scenario.DIRECT
    if operation.traffic is TrafficClass.LIST:
        return Scenario.GET_ALL
    if operation.is_broadcastable:
        return Scenario.BROADCAST
    if operation.open_key is OpenKey.NONE and interface is Interface.RECEIVER:
        return Scenario.HELD
    return Scenario.OPEN
