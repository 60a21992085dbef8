"""Outbound HTTP to partners: the guard that every address passes, and the client that sends one request and reads one answer."""
