"""The checker: does what the pipeline stored agree with its source, with itself and with its promises?

It asserts the invariants on any stack after any runs, from outside: by quality's and the stages' audit views, the object
store, the topics and the logs. It uses no code of a service, so that a service's mistake is not repeated here.
"""
