"""The worker of campaigns, which is woken after a commit."""

from typing import Final

from core.wakeup import WakeUp

CAMPAIGNS: Final = WakeUp("campaigns.tasks.carry_out", marker="campaigns:a-run-waits")
