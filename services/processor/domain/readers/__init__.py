"""How the values of each type are read: whole columns as Arrow, and single ones with the reason of a refusal.

The two ways of a reader agree: what the columnar one takes has the same value by itself. What it does not take is
doubtful, no more.
"""
