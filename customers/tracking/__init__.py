"""Messages of SDKs: stored when they are received, and processed once each by a worker (see ``docs/tracking.md``).

``views`` checks a request and stores it in the ``inbox``. A worker calls ``processing.process_messages``, which parses
each message (``messages``), decides what its source may say (``permissions``), interprets it (``interpretation``) and
writes identities (``customers.identity``), ``profiles``, ``consent_statements``, ``order_messages`` and events.
"""
