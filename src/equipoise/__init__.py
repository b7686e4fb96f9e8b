"""equipoise: safe reinforcement learning by gradient manipulation."""
