"""The wake-up of the campaigns worker."""

from typing import Final

from core.wakeup import WakeUp

CAMPAIGNS: Final = WakeUp("campaigns.tasks.run_campaigns", marker="campaigns:a-run-waits")
