"""How platforms connect: the credentials handshake, with the hub as Receiver and as Sender.

`handshake` is the protocol as generators that do no I/O: they yield the calls to make and take the answers, which `calls` and
`published` read. `driver` makes the calls with the partner client. `register` stores the result in one transaction, so that on
any failure the old state stays valid.
"""
