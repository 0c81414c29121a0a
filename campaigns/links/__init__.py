"""The links of messages: signed, and restricted to hosts that may be linked."""
