"""Real feeds against the hub: `python -m tests.feeds FOLDER`, or `make test-feeds FEEDS=FOLDER`.

The feeds stay outside of the project; what is kept of them here are counts. A step takes the folder and yields one `Check`
for each thing that it looked at; `__main__` runs the steps in their order and tells how many checks hold.
"""
