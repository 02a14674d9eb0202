"""What a network's answer depends on."""
