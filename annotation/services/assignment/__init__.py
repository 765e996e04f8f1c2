"""Who labels what, in parts: the draw (pure), who may label what, and the plan of a batch."""
