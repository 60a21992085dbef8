"""The hub's own frozen values: parties and platforms, the directory of them, envelopes, units and deliveries. Pure; no I/O."""
