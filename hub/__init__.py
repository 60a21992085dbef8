"""An OCPI roaming hub: CPOs, eMSPs and the other OCPI roles connect to it once and reach each other through it.

What a message goes through
---------------------------
An HTTP request enters at `hub.api.ingress`. It is authenticated by its credentials token against the `Directory`, matched with a
row of the table in `hub.ocpi.modules`, and checked by the rules in `hub.routing`. Then it takes one of three ways:

*To one party.* It becomes an `Envelope` on `ocpi.requests` and its caller waits. A relay decides the receiver, stores the routes
and callback URLs that the request establishes, commits the offset, and only then calls the receiver. The receiver's own answer
comes back over `ocpi.replies`, matched by a nonce that the hub made.

*For all.* A broadcast push is answered 1000 once `ocpi.pushes` holds it on all in-sync replicas. The fan-out worker stores its
units, chooses the audience and delivers through one lane per receiver.

*From the store.* Lists for all, hub client info, versions and credentials are answered from Postgres.

Every leg tells its outcome to `ocpi.outcomes`; the ledger writes it down, so that an operator can ask what became of a message.

The promises, and their reasons
-------------------------------
- A push is acknowledged only when it is durable: an acknowledgement that can be lost is worth nothing to its sender.
- A request to one party is sent at most once, and never after its caller was told that it failed: commands open cables and start
  charging. So the offset is committed before the call, and no call begins after `start_by`.
- A slow or dead receiver costs the others nothing. Each receiver has its own lane.
- State is sent as state. OCPI asks not to queue and replay: what a receiver missed is sent as the current state, once.
- The same version on both sides gets the original bytes. Parse to decide, validate to refuse; never re-serialise what can be
  passed on.
- Nothing reaches a party that is not entitled to it, by the directory read right before the attempt.
- Every URL that a partner gave is hostile until the guard has passed the very address that is connected to.

The map
-------
Words (pure): `hub.ocpi` is OCPI itself, `hub.model` the hub's own values, `hub.errors` the one tree of exceptions.
Rules (pure): `hub.routing` says who gets a message, `hub.delivery` what one attempt means and what waits.
Means (I/O): `hub.store` is Postgres, `hub.messaging` Kafka, `hub.partners` outbound HTTP; `hub.means` opens them for a process.
Use cases: `hub.registration` connects platforms, `hub.operations` is what operators may do.
Doors: `hub.api` and `hub.app` are the HTTP process, `workers` the workers, `infra` how all of it is run.

Imports only go down: doors, use cases, means, rules, words. A rule takes the time, ids and randomness as arguments and knows
neither settings nor telemetry. The import contracts in `pyproject.toml` hold the arrows.
"""
