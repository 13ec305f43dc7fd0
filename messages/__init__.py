"""What we say and what answers mean: protocols, schedules, wording, triage.

Pure: no clock, no database, no network, no environment. Times come in as aware datetimes.
"""
