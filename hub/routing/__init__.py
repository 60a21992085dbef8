"""Who gets a message: pure functions over an envelope and a directory.

`scenario` reads how the receiver is to be found, `admit` says what the hub refuses, `open_keys` names what to look up when no
receiver was named, `decide` finds the one destination and `audience` the many, `authorize` says who is asked about a token and
what several answers come to, `rewrite` replaces the URLs inside messages.
"""
