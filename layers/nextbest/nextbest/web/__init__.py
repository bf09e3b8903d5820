"""What all HTTP functions share: the gateway's event in, an HTTP response and one log line out."""
