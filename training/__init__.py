"""Makes the adapter that lets a small model read what a card says of its faults.

``python -m training all`` goes from nothing to an adapter and a report. Needs ``torch`` (the extra
``training``); neither the daemon nor its tests import it.
"""
