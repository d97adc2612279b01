"""What each noun can be told, one module a noun; imports ids, addresses and actions only.

Decisions import these, never each other, so that nouns can tell each other things without a cycle.
"""
