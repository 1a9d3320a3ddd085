"""What a room says: identifiers, events, event bodies and the resolved membership."""
