"""The web console: server-rendered pages over the same logic as both APIs.

``endpoints`` takes requests to the pages, ``sessions`` knows who is signed in, ``rendering`` makes HTML of templates;
``pages/`` has one page a file, each with its routes.
"""
