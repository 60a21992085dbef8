"""A real OCPI 2.2.1 platform of one's own: a CPO, an eMSP or both, in one OS process.

It is what a charging station operator or a mobility provider can start to meet a hub, and what the hub's own demo and
tests use as partners. It knows OCPI and nothing of the hub: it learns every URL in the handshake, as a stranger
would.

How a request that it receives is treated::

    server  ─▶ record (time, headers, bytes, SHA-256) ─▶ rules + tables: what deviates from OCPI?
                 └▶ faults: shall it misbehave? ─▶ configuration | receiving | serving | commands ─▶ answer

What it promises:

* **Everything that arrives is on record**, also what a fault then refuses, with the time of arrival and a digest of
  the exact bytes.
* **It is tolerant and says so.** A deviation is noted, never refused, unless the fault `strict` is on: real partners
  send worse.
* **A fault decides about the effect too.** A request that meets `hang`, `drop` or an HTTP error is not applied, so
  what the store holds is exactly what was answered with success (`empty_2xx` and `slow` apply; `applied` overrides).
* **Objects are kept per receiving party**: two parties on one platform may be sent different content for one object.
* **Its own objects are sent as the bytes they were loaded from**, so a digest can be compared on the other side.

`run` starts it from `Options`; `Partner` does the same inside a running event loop. Everything else is reached over
the control API.
"""

from infra.dev.partner.options import Options, add_arguments, from_arguments
from infra.dev.partner.run import Partner, run

__all__ = ["Options", "Partner", "add_arguments", "from_arguments", "run"]
