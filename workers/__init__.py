"""What computes: media, faces, speech and pre-labels (pure), and the tasks that call them."""
