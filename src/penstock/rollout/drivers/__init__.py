"""Drivers: who carries a rollout out where the server that answers is another one."""
