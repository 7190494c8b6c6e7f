"""What the agent shows of itself to others: metrics, and devices for Home Assistant."""
