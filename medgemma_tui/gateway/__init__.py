"""The gateway: always answers, never imports torch; starts the worker and guards the way to it."""
