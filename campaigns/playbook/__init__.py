"""The playbook: tactics for each ready-made segment."""
