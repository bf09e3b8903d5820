"""The Amazon Personalize dialect: the runtime, events and control-plane APIs that stock AWS SDKs speak.

Contract: docs/contracts/personalize.md. Choices where AWS is silent: its section 11.
"""
