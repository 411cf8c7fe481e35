"""News for people: what happened, to whom it is told, and the outbox from which it is sent (docs/news.md)."""
