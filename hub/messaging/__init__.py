"""Kafka: the topics, how an envelope becomes a record, and the only code that talks to the broker.

Three ways use it. *Durable* sends (pushes, outcomes) return when all in-sync replicas hold the record. *Swift* sends (requests,
replies) trade that for latency; both sides obey one deadline, so a record that arrives late is never acted upon. *Batch
consumers* hand raw records to a worker and commit nothing by themselves.
"""
