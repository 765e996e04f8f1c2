"""What annotation does: install codebooks, assign, publish, collect and accept raters' work."""
