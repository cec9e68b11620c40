"""The AI services, each a process of its own, and what any process needs."""
