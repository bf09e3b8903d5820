"""The Amazon Personalize dialect: the runtime, events and control-plane APIs that stock AWS SDKs speak.

Contract: personalize-actions; what it leaves open is listed with our choices in ``docs/personalize.md``.
"""
