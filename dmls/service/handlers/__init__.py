"""What the RPCs do. A handler blocks: it is called on a thread of its own, never on the event loop."""
