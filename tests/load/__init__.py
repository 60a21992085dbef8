"""How fast the hub is, measured on a real one: `hub up` in a folder of its own, scripted platforms on real sockets around it.

`python -m tests.load.bench` is the small bench of `make bench`; `python -m tests.load.ndw FOLDER` pushes the whole Dutch feed and
checks every store against a reference. Nothing here asserts a speed: numbers are printed and written down.

The callers and the platforms speak HTTP through `wire`, which does little enough that the hub is what is measured.
"""
