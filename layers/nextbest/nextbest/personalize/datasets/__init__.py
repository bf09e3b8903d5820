"""What a dataset holds: its schema, properties, event types, and the rows of its CSV files."""
