"""The screen: what runs did, step by step, and what can be done about it."""
