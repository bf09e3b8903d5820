"""Pure, frozen values: events, actions, histories, programs, keys. No I/O, no clock."""
