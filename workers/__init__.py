"""The stateless workers: each file one worker, one consumer group, one deployment.

`relay` carries requests to one party, `fanout` spreads broadcasts, `presence` finds out who can be reached and tells the others,
`ledger` writes down what happened. Any number of each may run; what one holds in memory another can read again from the log or
from the store.
"""

from typing import Final

WORKERS: Final = ("relay", "fanout", "presence", "sync", "ledger")
"""Every worker; each is the function `run` of the module of that name."""
