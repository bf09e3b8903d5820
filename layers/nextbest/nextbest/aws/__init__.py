"""How to call AWS: clients, one table, direct reads, signatures, files, queues. Knows nothing of our items."""
