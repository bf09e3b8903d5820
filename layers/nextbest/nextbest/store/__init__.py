"""Our items in DynamoDB and our files in S3. Knows no HTTP."""
