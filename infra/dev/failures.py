"""Why the embedded parts cannot run, as one-line messages that say what to do, each with its own exit code.

HubError
└── StartFailure          one line for the operator, and the exit code of `hub up`
    ├── DirectoryInUse        another `hub up` runs on this data directory
    ├── PortTaken             the HTTP port belongs to somebody else
    ├── DiskFull              too little space below the data directory
    ├── JarsOutOfReach        Kafka's jars are neither in the cache nor to be had
    ├── DirectoryUnusable     the data directory cannot be made, written or is somebody else's
    └── PartFailed            a part ended or was silent before it was ready
"""

from hub.errors import HubError

EXIT_STOPPED = 0
EXIT_PART_FAILED = 1
EXIT_DIRECTORY_IN_USE = 10
EXIT_PORT_TAKEN = 11
EXIT_DISK_FULL = 12
EXIT_JARS_OUT_OF_REACH = 13
EXIT_DIRECTORY_UNUSABLE = 14


class StartFailure(HubError):
    """The hub cannot be started; the message is one line."""

    exit_code = EXIT_PART_FAILED


class PartFailed(StartFailure):
    """A part ended before it was ready, or was not ready in time."""


class DirectoryInUse(StartFailure):
    """The data directory is locked by a running process."""

    exit_code = EXIT_DIRECTORY_IN_USE


class PortTaken(StartFailure):
    """The address that the HTTP process needs cannot be bound."""

    exit_code = EXIT_PORT_TAKEN


class DiskFull(StartFailure):
    """There is too little space for the embedded parts."""

    exit_code = EXIT_DISK_FULL


class JarsOutOfReach(StartFailure):
    """The jars of Kafka cannot be fetched, or are not what the lock says."""

    exit_code = EXIT_JARS_OUT_OF_REACH


class DirectoryUnusable(StartFailure):
    """The data directory cannot be used."""

    exit_code = EXIT_DIRECTORY_UNUSABLE
