"""Where Waver and the guarded Label Studio meet: the hand-over, and the guard's questions."""
