"""Files of events: a path in; events, and rows rejected with their line and the reason, out. Nothing is sent or stored.

content.py      what kind of file it is, decompression, lines of text; damage is found here
delimited.py    CSV and TSV
json_lines.py   a JSON object a line
parquet.py      Parquet, by DuckDB; the only file here that needs it
columns.py      which column holds which member of an event
rows.py         the rules for one row
reader.py       the rows of a file, whatever its kind
row_counts.py   how many rows were rejected, and why
"""
