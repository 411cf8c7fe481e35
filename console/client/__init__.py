"""What can be asked of the pipeline and done with it: runs, their results, dead letters, quarantine.

For any caller: nothing here needs a terminal, reads the environment or knows how the pipeline is deployed. A caller
brings the addresses. Every error is a `ClientError`, unless a docstring names another.
"""
