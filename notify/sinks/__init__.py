"""Where events go on to: the seam, what webhooks make of it, and Kafka."""
