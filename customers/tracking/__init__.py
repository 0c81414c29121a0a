"""What shops send with the SDKs they know: stored at once, taken by a worker, once each, for the right customer.

A request runs through ``views``, which only checks it, into the ``inbox``. From there messages are read (``messages``),
their senders trusted as far as they can be (``trust``), translated (``meaning``), and taken together (``taking``).
``docs/tracking.md`` tells people about it.
"""
