"""The forms of a report: for people, and for programs in three kinds."""
