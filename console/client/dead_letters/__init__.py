"""Dead letters as a work queue: what is in the services' `.dlq` topics, what was done about it, and doing it."""
