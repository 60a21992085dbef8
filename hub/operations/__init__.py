"""What an operator may do, each use case a function with its audit row in the transaction that does it.

A use case returns what came of it or `Declined`, the reason in words for the person who asked. Everything that changes who
may reach whom raises the directory's version; `suspend` returns only when no process acts on an older one.

    invite, connect, rotate, suspend   change the directory
    dead_letters, redrive              look at records that nobody could understand, put them back, discard them
    inspect                            looks at platforms, parties, objects and messages
    status, listing                    look at the hub itself

The doors (admin API, later the console) authenticate and pass the operator's name; the rules are here.
"""
