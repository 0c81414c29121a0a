"""Wake-ups of this app: tasks that are started after a commit."""

from typing import Final

from core.wakeup import WakeUp

INBOX: Final = WakeUp("customers.tasks.drain_inbox", marker="tracking:a-drain-waits")
