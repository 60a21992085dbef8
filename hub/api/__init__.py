"""The doors of the HTTP process: OCPI's configuration modules, the ingress of all functional modules, and the operator's API.

A door decodes, calls a rule, does one effect and says what happened. The ingress never calls a partner.
"""
