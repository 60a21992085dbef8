"""What one attempt at a partner means, what waits and what is released: pure functions and state machines.

`prepare` makes the request of one leg, `judge` reads its answer, `lane` orders what waits for one receiver, `window` says which
offsets may be committed.
"""
