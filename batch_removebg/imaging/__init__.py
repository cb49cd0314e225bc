"""Pictures: probed, decoded, converted and encoded."""
