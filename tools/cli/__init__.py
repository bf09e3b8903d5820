"""Commands for whoever runs a deployment, in AWS or on this machine."""
