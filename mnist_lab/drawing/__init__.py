"""From pen strokes and photographs to 28x28 pixels and an answer."""
