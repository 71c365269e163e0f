"""Elements on a cluster: asked for, looked after, cancelled."""
