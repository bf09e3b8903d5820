"""A gateway's event in, an HTTP answer and one log line out: what all HTTP functions share."""
