"""The client ``personalize``: the control plane, a file a resource."""
