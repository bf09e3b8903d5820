"""The client ``personalize-events``: interactions, actions, users and items put one to ten at a time."""
