"""The forms of a report: text, JSON, Nagios, Prometheus. One file each."""
