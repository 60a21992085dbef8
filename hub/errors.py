"""Every exception that the hub raises, as one tree.

    HubError
    ├── ConfigurationError        a setting, key or flag is wrong: one line to the operator, exit
    ├── StoreUnavailable          Postgres did not answer in time or refused the connection
    ├── LogUnavailable            Kafka did not take or hand out a record in time
    ├── Invalid                   a record that nobody can understand: to the dead letters
    │   └── UndecodableRecord
    ├── UnknownEnvelopeVersion    a record of a newer release: the worker stops, nothing is dropped
    └── PartnerError              one HTTP call to a partner did not give an answer
        ├── AddressRefused        the URL or what it resolves to is not allowed: nothing was sent
        ├── PartnerUnreachable    no connection: nothing was sent
        ├── PartnerSilent         sent, but no whole answer in time: it may have acted
        └── AnswerTooLarge        the answer passed the size limit: it has acted

Expected outcomes (a refused request, a partner's refusal) are values, never exceptions.
"""


class HubError(Exception):
    """The root: what a caller of the hub's code cannot go on from."""


class ConfigurationError(HubError):
    """A setting is missing or wrong; the message says what to do."""


class StoreUnavailable(HubError):
    """Postgres cannot be used now."""


class LogUnavailable(HubError):
    """Kafka cannot be used now."""


class Invalid(HubError):
    """A record that no release can understand."""


class UndecodableRecord(Invalid):
    """A record whose headers or body do not make an envelope."""


class UnknownEnvelopeVersion(HubError):
    """A record written by a newer release than this one."""


class PartnerError(HubError):
    """A call to a partner gave no answer; `sent` tells whether the partner may have acted."""

    sent = False


class AddressRefused(PartnerError):
    """The guard refused the URL or the address that it resolves to."""


class PartnerUnreachable(PartnerError):
    """No connection could be made, so the partner has seen nothing."""


class PartnerSilent(PartnerError):
    """The request left, the answer did not come whole within the time given."""

    sent = True


class AnswerTooLarge(PartnerError):
    """The answer was larger than the limit and was cut off while reading."""

    sent = True
